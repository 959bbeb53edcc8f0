"""The three documents of a NoCloud seed: user-data, meta-data and network-config, for cloud-init 22.4 and newer."""

from base64 import b64encode
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from gzip import compress

from pragmaspec.guest.cloud_init.merge import decode_user_data, merged_config
from pragmaspec.guest.cloud_init.yaml import Yaml, yaml_text
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import HOSTS, contract_files, login_files, short_hosts_file
from pragmaspec.guest.contract.members import fqdn
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.interfaces import network_config
from pragmaspec.guest.keys import StackKey, host_key
from pragmaspec.guest.setup.node_setups import node_setups
from pragmaspec.guest.setup.scripts import NodeSetup
from pragmaspec.resources import Mark, Node

COMPRESS_FROM_CHARACTERS = 8192
"""Longer files are compressed: cloud-init's YAML reader processes single characters, which is slow under emulation."""

APT_RETRIES = "/etc/apt/apt.conf.d/90pragmaspec"
_APT_RETRIES_TEXT = """\
// Written by pragmaspec: the default route is through the frontend, which may still be booting.
Acquire::Retries "8";
"""


def meta_data_text(node: Node, mark: Mark) -> str:
    """Return ``meta-data``. Each generation of a node has a new instance-id, so that cloud-init runs as at a first boot."""
    return yaml_text({"instance-id": mark.uuid, "local-hostname": node.name})


def network_config_text(node: Node, cluster: GuestCluster) -> str:
    """Return ``network-config``."""
    return yaml_text(network_config(node, cluster))


def user_data_text(
    node: Node, cluster: GuestCluster, settings: GuestSettings, stack_key: StackKey, left_out: AbstractSet[str] = frozenset()
) -> str:
    """Return ``user-data``: pragmaspec's cloud-config merged with the user's. Contains private keys.

    ``left_out``: paths of files that it neither writes nor runs. Without the hosts file it writes a short one.
    Raises SpecError if a value cannot be represented in ``vc-out.xml``.
    """
    user = decode_user_data(settings.user_data)
    fixed = _fixed(node, cluster, stack_key)
    setups = [setup for setup in node_setups(node, cluster) if setup.script.path not in left_out]
    files = [*login_files(cluster, stack_key), *contract_files(node, cluster, stack_key)]
    files += [file for setup in setups for file in setup.written]
    files = [file for file in files if file.path not in left_out]
    files += [short_hosts_file(node, cluster)] if HOSTS in left_out else []
    if node.role == "compute" and (settings.packages or "packages" in user):
        files.append(GuestFile(path=APT_RETRIES, mode=0o644, content=_APT_RETRIES_TEXT))
    config = merged_config(_ours(files, setups, settings.packages), user, fixed)
    return "#cloud-config\n" + yaml_text(config)


def _fixed(node: Node, cluster: GuestCluster, stack_key: StackKey) -> dict[str, Yaml]:
    """Values that the guest contract and ssh access depend on, which user-data cannot override."""
    pair = host_key(stack_key, cluster.mark(node.address))
    return {
        "hostname": node.name,
        "fqdn": fqdn(node, cluster),
        "prefer_fqdn_over_hostname": False,
        "preserve_hostname": False,
        "manage_etc_hosts": False,
        "disable_root": False,
        # Removes the image's own host keys; cloud-init generates none because ssh_keys is set.
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": pair.private, "ed25519_public": f"{pair.public} {node.name}"},
    }


def _ours(files: Sequence[GuestFile], setups: Sequence[NodeSetup], packages: Sequence[str]) -> dict[str, Yaml]:
    """Values that user-data can override: files, packages, and output that is switched off because it is slow under emulation."""
    config: dict[str, Yaml] = {
        "no_ssh_fingerprints": True,
        "ssh": {"emit_keys_to_console": False},
        # A string, because the schema of 22.4 allows no boolean: the image's locale is kept.
        "locale": "false",
        "write_files": [_write_file(file) for file in files],
    }
    for key, commands in (
        ("bootcmd", [setup.boot_command for setup in setups if setup.boot_command]),
        ("runcmd", [setup.run_command for setup in setups]),
    ):
        if commands:
            config[key] = [["sh", "-c", command] for command in commands]
    if packages:
        config["packages"] = list(packages)
    return config


def _write_file(file: GuestFile) -> dict[str, Yaml]:
    entry: dict[str, Yaml] = {"path": file.path, "owner": "root:root", "permissions": f"{file.mode:04o}"}
    if len(file.content) < COMPRESS_FROM_CHARACTERS:
        return {**entry, "content": file.content}
    return {**entry, "encoding": "gz+b64", "content": _compressed(file.content)}


@lru_cache(maxsize=16)
def _compressed(content: str) -> str:
    """Return gzipped base64, cached because large files are equal on all nodes. None of them contains a private key."""
    return b64encode(compress(content.encode(), compresslevel=6, mtime=0)).decode()
