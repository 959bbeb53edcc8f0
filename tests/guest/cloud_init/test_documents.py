import base64
import gzip
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace
from ruamel.yaml import YAML

from pragmaspec.guest.cloud_init.documents import meta_data_text, network_config_text, user_data_text
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import contract_files, login_files
from pragmaspec.guest.keys import StackKey, host_key
from pragmaspec.guest.setup.disks import DISKS
from pragmaspec.resources import Disk, Mark, Node

PLAIN = GuestSettings()


def as_cloud_init_reads(text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = "1.1"
    return yaml.load(text)


def user_data(node: Node, cluster: GuestCluster, stack_key: StackKey, settings: GuestSettings = PLAIN) -> Any:
    text = user_data_text(node, cluster, settings, stack_key)
    assert text.startswith("#cloud-config\n")
    return as_cloud_init_reads(text)


def written(config: Any) -> dict[str, tuple[str, str]]:
    """Return permissions and content by path, decompressed as cloud-init does."""
    found = {}
    for entry in config["write_files"]:
        content = entry["content"]
        if entry.get("encoding") == "gz+b64":
            content = gzip.decompress(base64.b64decode(content)).decode()
        assert entry["owner"] == "root:root"
        found[entry["path"]] = (entry["permissions"], content)
    return found


def test_contract_and_login_files_are_written(cluster: GuestCluster, stack_key: StackKey) -> None:
    for node in cluster.nodes:
        found = written(user_data(node, cluster, stack_key))
        for file in (*login_files(cluster, stack_key), *contract_files(node, cluster, stack_key)):
            assert found[file.path] == (f"{file.mode:04o}", file.content)


def test_large_files_are_compressed(cluster_of: Callable[[int], GuestCluster], stack_key: StackKey) -> None:
    cluster = cluster_of(300)
    config = user_data(cluster.nodes[5], cluster, stack_key)
    packed = {entry["path"] for entry in config["write_files"] if "encoding" in entry}
    assert packed == {"/etc/pragmaspec/cluster.json", "/etc/hosts", "/etc/ssh/ssh_known_hosts"}
    for file in contract_files(cluster.nodes[5], cluster, stack_key):
        assert written(config)[file.path] == (f"{file.mode:04o}", file.content)


def test_the_host_key_is_in_user_data(cluster: GuestCluster, stack_key: StackKey) -> None:
    node = cluster.nodes[1]
    config = user_data(node, cluster, stack_key)
    pair = host_key(stack_key, Mark(lineage=cluster.lineage, address=node.address))
    assert config["ssh_keys"] == {"ed25519_private": pair.private, "ed25519_public": f"{pair.public} {node.name}"}
    assert config["ssh_deletekeys"] is True
    assert "ssh_authorized_keys" not in config


def test_only_a_frontend_with_a_public_address_is_a_gateway(cluster: GuestCluster, stack_key: StackKey) -> None:
    frontend, compute = (user_data(node, cluster, stack_key) for node in cluster.nodes[:2])
    assert "masquerade" in frontend["bootcmd"][0][2]
    assert "/etc/systemd/system/pragmaspec-nat.service" in written(frontend)
    assert "bootcmd" not in compute
    inside = replace(cluster.frontend, nics=cluster.frontend.nics[:1])
    assert "bootcmd" not in user_data(inside, replace(cluster, nodes=(inside,)), stack_key)


def test_disks_are_set_up_before_users_and_after_packages(cluster: GuestCluster, stack_key: StackKey) -> None:
    disks = (Disk(name="data", size_bytes=2**30, mount="/data"),)
    frontend, compute = (
        user_data(node, replace(cluster, nodes=(node,)), stack_key)
        for node in (replace(each, disks=disks) for each in cluster.nodes[:2])
    )
    assert "data ext4 /data\n" in compute["bootcmd"][0][2]
    assert compute["runcmd"] == [["sh", "-c", f"{DISKS.path} || : >/run/pragmaspec-setup-failed"]]
    assert len(frontend["bootcmd"]) == len(frontend["runcmd"]) == 2


def test_computes_that_install_packages_retry_downloads(cluster: GuestCluster, stack_key: StackKey) -> None:
    retries = "/etc/apt/apt.conf.d/90pragmaspec"
    frontend, compute = cluster.nodes[:2]
    asked = GuestSettings(packages=("htop", "git=1:2"))
    assert user_data(compute, cluster, stack_key, asked)["packages"] == ["htop", "git=1:2"]
    assert retries in written(user_data(compute, cluster, stack_key, asked))
    assert retries in written(user_data(compute, cluster, stack_key, GuestSettings(user_data='{"packages": ["x"]}')))
    assert retries not in written(user_data(compute, cluster, stack_key))
    assert retries not in written(user_data(frontend, cluster, stack_key, asked))


def test_user_data_is_merged(cluster: GuestCluster, stack_key: StackKey) -> None:
    settings = GuestSettings(
        packages=("htop",),
        user_data='#cloud-config\n{"packages": ["git"], "hostname": "other", "users": ["default", {"name": "ann", "uid": 7}]}\n',
    )
    config = user_data(cluster.nodes[1], cluster, stack_key, settings)
    assert config["packages"] == ["htop", "git"]
    assert config["hostname"] == "hello-compute-0"
    assert config["users"] == ["default", {"name": "ann", "uid": 7}]


def test_a_new_generation_has_a_new_instance_id(cluster: GuestCluster) -> None:
    node = cluster.frontend
    marks = [Mark(lineage=cluster.lineage, address=node.address, generation=generation) for generation in (0, 1)]
    first, second = (as_cloud_init_reads(meta_data_text(node, mark)) for mark in marks)
    assert first == {"instance-id": marks[0].uuid, "local-hostname": node.name}
    assert first["instance-id"] != second["instance-id"]


def test_interfaces_are_matched_by_mac_and_keep_their_names(cluster: GuestCluster) -> None:
    config = as_cloud_init_reads(network_config_text(cluster.frontend, cluster))
    assert config["version"] == 2
    public = config["ethernets"]["public"]
    assert public["match"] == {"macaddress": "52:54:00:ff:00:01"}
    assert public["routes"] == [{"to": "0.0.0.0/0", "via": "192.0.2.1"}]
    assert public["nameservers"] == {"addresses": ["192.0.2.1"], "search": ["local"]}
    assert all("set-name" not in ethernet for ethernet in config["ethernets"].values())
    assert "routes" not in config["ethernets"]["private"]
