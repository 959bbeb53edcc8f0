"""The three documents of a NoCloud seed for cloud-init 22.4 and newer: user-data, meta-data, network-config."""

from base64 import b64encode
from functools import lru_cache
from gzip import compress

from pragmaspec.guest.cloud_init.merge import merged_config, read_user_data
from pragmaspec.guest.cloud_init.yaml import Yaml, yaml_text
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import GuestFile, contract_files, login_files
from pragmaspec.guest.contract.members import fqdn
from pragmaspec.guest.interfaces import network_config
from pragmaspec.guest.keys import StackKey, host_key
from pragmaspec.guest.nat import NAT_ENABLE_COMMAND, NAT_SYSCTL, NAT_UNIT, SYSCTL_TEXT, UNIT_TEXT, nat_boot_command, nat_script
from pragmaspec.resources import Mark, Node

COMPRESS_FROM_CHARACTERS = 8192
"""Longer files travel compressed: cloud-init's YAML reader takes a character at a time, which hurts under emulation."""

APT_RETRIES = "/etc/apt/apt.conf.d/90pragmaspec"
_APT_RETRIES_TEXT = """\
// Written by pragmaspec: the way out leads through the frontend, which may still be starting.
Acquire::Retries "8";
"""


def meta_data_text(node: Node, mark: Mark) -> str:
    """``meta-data``: a new instance-id, and with it a first boot, for each generation of the node."""
    return yaml_text({"instance-id": mark.uuid, "local-hostname": node.name})


def network_config_text(node: Node, cluster: GuestCluster) -> str:
    """``network-config``."""
    return yaml_text(network_config(node, cluster))


def user_data_text(node: Node, cluster: GuestCluster, settings: GuestSettings, stack_key: StackKey) -> str:
    """``user-data``: our cloud-config with the user's merged into it. Holds private keys.

    Raises SpecError when the user's document cannot be merged.
    """
    user = read_user_data(settings.user_data) if settings.user_data else {}
    fixed = _fixed(node, cluster, stack_key)
    config = merged_config(_ours(node, cluster, settings, stack_key, packages="packages" in user), user, fixed)
    return "#cloud-config\n" + yaml_text(config)


def _fixed(node: Node, cluster: GuestCluster, stack_key: StackKey) -> dict[str, Yaml]:
    """What the guest contract and the login rest on, whatever the user's document says."""
    pair = host_key(stack_key, cluster.mark(node.address))
    return {
        "hostname": node.name,
        "fqdn": fqdn(node, cluster),
        "prefer_fqdn_over_hostname": False,
        "preserve_hostname": False,
        "manage_etc_hosts": False,
        "disable_root": False,
        # Keys that came with the image go; as ssh_keys are given, cloud-init makes no others.
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": pair.private, "ed25519_public": f"{pair.public} {node.name}"},
    }


def _ours(node: Node, cluster: GuestCluster, settings: GuestSettings, stack_key: StackKey, *, packages: bool) -> dict[str, Yaml]:
    """What we add: files, and what costs seconds under emulation and tells nothing that is not known already."""
    script = nat_script(node, cluster)
    files = [*login_files(cluster, stack_key), *contract_files(node, cluster, stack_key), *(_gateway_files() if script else ())]
    if node.role == "compute" and (settings.packages or packages):
        files.append(GuestFile(path=APT_RETRIES, mode=0o644, content=_APT_RETRIES_TEXT))
    config: dict[str, Yaml] = {
        "no_ssh_fingerprints": True,
        "ssh": {"emit_keys_to_console": False},
        # Text and not a boolean, for the schema of 22.4: the locale stays as it is in the image.
        "locale": "false",
        "write_files": [_write_file(file) for file in files],
    }
    if script:
        config["bootcmd"] = [["sh", "-c", nat_boot_command(script)]]
        config["runcmd"] = [["sh", "-c", NAT_ENABLE_COMMAND]]
    if settings.packages:
        config["packages"] = list(settings.packages)
    return config


def _gateway_files() -> tuple[GuestFile, ...]:
    return (
        GuestFile(path=NAT_UNIT, mode=0o644, content=UNIT_TEXT),
        GuestFile(path=NAT_SYSCTL, mode=0o644, content=SYSCTL_TEXT),
    )


def _write_file(file: GuestFile) -> dict[str, Yaml]:
    entry: dict[str, Yaml] = {"path": file.path, "owner": "root:root", "permissions": f"{file.mode:04o}"}
    if len(file.content) < COMPRESS_FROM_CHARACTERS:
        return {**entry, "content": file.content}
    return {**entry, "encoding": "gz+b64", "content": _packed(file.content)}


@lru_cache(maxsize=16)
def _packed(content: str) -> str:
    """Kept, because the large files are the same text on every node of a cluster. Never a private key: those are short."""
    return b64encode(compress(content.encode(), compresslevel=6, mtime=0)).decode()
