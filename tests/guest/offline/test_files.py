"""Files written to disks without cloud-init: one golden directory per family of operating systems."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.errors import ImageError
from pragmaspec.guest.cloud_init.documents import user_data_text
from pragmaspec.guest.cloud_init.seed import seed_files
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import live_files
from pragmaspec.guest.guest_file import GuestFile
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.offline.detect import HOST_KEY_PATHS, PROBED_PATHS, FileKind, GuestSystem, guest_system
from pragmaspec.guest.offline.files import OfflineFiles, offline_files
from pragmaspec.guest.setup.disks import DISKS, DISKS_TABLE
from pragmaspec.guest.setup.nat import NAT
from pragmaspec.guest.setup.users import USERS, USERS_TABLE, ClusterUser
from pragmaspec.resources import Disk
from tests.guest.conftest import make_cluster

CASES = Path(__file__).parents[2] / "cases" / "guest_offline"
SYSTEMD = {"/etc/systemd/system": "directory", "/etc/machine-id": "file"}
SCRIPTS = "/etc/sysconfig/network-scripts"
SYSTEMS: dict[str, dict[str, FileKind]] = {
    "debian-ifupdown": {**SYSTEMD, "/etc/network/interfaces": "file", "/etc/resolv.conf": "file"},
    "debian-networkd": {
        **SYSTEMD,
        "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": "link",
        "/etc/resolv.conf": "link",
    },
    "ubuntu-netplan": {**SYSTEMD, "/etc/netplan": "directory", "/etc/network/interfaces": "file", "/etc/resolv.conf": "link"},
    "redhat-6": {SCRIPTS: "directory", f"{SCRIPTS}/ifup-eth": "file", "/etc/ssh/ssh_host_rsa_key": "file"},
    "redhat-7": {**SYSTEMD, SCRIPTS: "directory", f"{SCRIPTS}/ifup-eth": "file", "/etc/NetworkManager": "directory"},
    "redhat-9": {**SYSTEMD, SCRIPTS: "directory", "/etc/NetworkManager": "directory"},
}
EVERYWHERE = (
    "/etc/pragmaspec/cluster.json", "/etc/pragmaspec/machinefile", "/etc/pragmaspec/interfaces", "/etc/hosts", "/etc/hostname",
    "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub", "/root/vc-out.xml",
    "/root/.ssh/id_ed25519", "/root/.ssh/id_ed25519.pub", "/root/.ssh/authorized_keys",
)  # fmt: skip


def written(system: GuestSystem, stack_key: StackKey, number: int = 0) -> OfflineFiles:
    cluster = make_cluster()
    return offline_files(cluster.nodes[number], cluster, stack_key, system)


def by_path(wanted: OfflineFiles) -> dict[str, GuestFile]:
    return {file.path: file for file in wanted.files}


@pytest.mark.parametrize("family", sorted(SYSTEMS))
def test_files_of_each_family(family: str, stack_key: StackKey, golden: Callable[[Path, str], None]) -> None:
    """Files that are the same on all systems are covered by the golden directories of the seed."""
    known = (*EVERYWHERE, NAT.path)
    system = guest_system(SYSTEMS[family])
    for number, name in enumerate(("frontend", "compute")):
        wanted = written(system, stack_key, number)
        lines = [f"--- {path}, {file.mode:04o}\n{file.content}" for path, file in by_path(wanted).items() if path not in known]
        lines += [f"--- {path} -> {target}\n" for path, target in wanted.links]
        lines += [f"--- {path} goes\n" for path in wanted.removed]
        golden(CASES / family / f"{name}.txt", "\n".join(lines))


@pytest.mark.parametrize("family", sorted(SYSTEMS))
def test_all_files_of_the_seed_are_written(family: str, stack_key: StackKey) -> None:
    cluster = make_cluster()
    for number, node in enumerate(cluster.nodes):
        found = by_path(written(guest_system(SYSTEMS[family]), stack_key, number))
        for file in (*seed_files(node, cluster, stack_key), *live_files(node, cluster, stack_key)):
            assert found.get(file.path) == file or (file.path in (DISKS_TABLE, USERS_TABLE) and file.content == "")
        assert set(EVERYWHERE) <= set(found)


@pytest.mark.parametrize(("family", "number"), [("debian-networkd", 0), ("redhat-6", 0), ("redhat-6", 1)])
def test_disks_are_set_up_at_every_boot(family: str, number: int, stack_key: StackKey) -> None:
    made = make_cluster()
    disks = (Disk(name="data", size_bytes=2**30, mount="/data"),)
    cluster = replace(made, nodes=tuple(replace(node, disks=disks) for node in made.nodes))
    wanted = offline_files(cluster.nodes[number], cluster, stack_key, guest_system(SYSTEMS[family]))
    files = by_path(wanted)
    assert files[DISKS_TABLE].content == "data ext4 /data\n"
    if family == "redhat-6":
        nat = f"exec {NAT.path}\n"
        expected = f"#!/bin/sh\n{DISKS.path}\n{nat}" if number == 0 else f"#!/bin/sh\nexec {DISKS.path}\n"
        assert files["/sbin/ifup-local"].content == expected
    else:
        assert (
            "/etc/systemd/system/sysinit.target.wants/pragmaspec-disks.service",
            "../pragmaspec-disks.service",
        ) in wanted.links


@pytest.mark.parametrize("family", ["debian-networkd", "redhat-6"])
def test_users_are_set_up_at_every_boot(family: str, stack_key: StackKey) -> None:
    users = (ClusterUser(name="ada", uid=2001, ssh_keys=("ssh-ed25519 AAAA",)),)
    cluster = replace(make_cluster(), users=users)
    wanted = offline_files(cluster.nodes[1], cluster, stack_key, guest_system(SYSTEMS[family]))
    files = by_path(wanted)
    assert files[USERS_TABLE].content.startswith("user ada 2001 ")
    if family == "redhat-6":
        assert files["/sbin/ifup-local"].content == f"#!/bin/sh\nexec {USERS.path}\n"
    else:
        assert (
            "/etc/systemd/system/multi-user.target.wants/pragmaspec-users.service",
            "../pragmaspec-users.service",
        ) in wanted.links


def test_packages_are_left_to_cloud_init(stack_key: StackKey) -> None:
    """The spec rejects packages for images without cloud-init; none of cloud-init's files are written."""
    cluster = make_cluster()
    user_data = user_data_text(cluster.frontend, cluster, GuestSettings(packages=("openmpi",)), stack_key)
    assert "openmpi" in user_data
    assert not any("cloud" in path for path in by_path(written(guest_system(SYSTEMS["redhat-7"]), stack_key)))


def test_paths_are_absolute_and_unique(stack_key: StackKey) -> None:
    for found in SYSTEMS.values():
        for number in range(3):
            wanted = written(guest_system(found), stack_key, number)
            paths = [file.path for file in wanted.files]
            assert len(paths) == len(set(paths))
            assert all(path.startswith("/") and ".." not in path and '"' not in path for path in paths)


def test_nodes_of_one_image_have_different_identities(stack_key: StackKey) -> None:
    system = guest_system(SYSTEMS["debian-ifupdown"])
    found = [by_path(written(system, stack_key, number))["/etc/machine-id"].content for number in range(3)]
    assert len({*found}) == 3
    assert all(len(text) == 33 and set(text[:-1]) <= set("0123456789abcdef") for text in found)


def test_host_keys_of_the_image_are_removed(stack_key: StackKey) -> None:
    system = guest_system({**SYSTEMS["debian-ifupdown"], **dict.fromkeys(HOST_KEY_PATHS, "file")})
    assert written(system, stack_key).removed == HOST_KEY_PATHS


def test_a_disk_without_a_supported_network_service_is_rejected() -> None:
    with pytest.raises(ImageError, match="No supported network service"):
        guest_system({"/etc/passwd": "file", **SYSTEMD})


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.sampled_from(PROBED_PATHS), st.sampled_from(["file", "directory", "link"])))
def test_any_disk_is_supported_or_rejected(found: dict[str, FileKind]) -> None:
    cluster: GuestCluster = make_cluster()
    try:
        system = guest_system(found)
    except ImageError:
        return
    first = offline_files(cluster.frontend, cluster, StackKey(bytes(32)), system)
    assert first == offline_files(cluster.frontend, cluster, StackKey(bytes(32)), system)
    assert any(file.path.startswith(("/etc/net", "/etc/sys", "/etc/Net")) for file in first.files)
