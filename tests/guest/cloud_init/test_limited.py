import gzip
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.guest.cloud_init.documents import user_data_text
from pragmaspec.guest.cloud_init.limited import LimitedUserData, essential_user_data, limited_user_data, stages
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import AUTHORIZED_KEYS, CLUSTER_KEY, HOSTS, live_files
from pragmaspec.guest.keys import StackKey, host_key
from pragmaspec.guest.setup.disks import DISKS as DISKS_SCRIPT
from pragmaspec.guest.setup.nat import NAT
from pragmaspec.guest.setup.users import USERS as USERS_SCRIPT
from pragmaspec.guest.setup.users import ClusterUser
from pragmaspec.resources import Disk, Node
from tests.guest.cloud_init.test_documents import as_cloud_init_reads, written
from tests.guest.conftest import make_cluster

EC2, OPENSTACK = 16 * 2**10, 49_151
PLAIN = GuestSettings()
OWN = GuestSettings(
    packages=("nfs-common",),
    user_data='#cloud-config\n{"runcmd": ["mount hello-frontend:/home /home"], "timezone": "Asia/Tokyo"}',
)
USERS = (ClusterUser(name="ada", uid=2000, ssh_keys=("ssh-ed25519 AAAA ada",)),)
DISKS = (Disk(name="scratch", size_bytes=2**30, mount="/scratch"),)


def config(found: LimitedUserData) -> Any:
    """Return the cloud-config as cloud-init reads it."""
    content = gzip.decompress(found.content) if found.content[:2] == b"\x1f\x8b" else found.content
    text = content.decode()
    assert text.startswith("#cloud-config\n")
    return as_cloud_init_reads(text)


def complete(**changes: object) -> tuple[GuestCluster, Node]:
    """Return a cluster with users and a compute with disks."""
    cluster = make_cluster(3, users=USERS, **changes)
    node = replace(cluster.nodes[2], disks=DISKS)
    return replace(cluster, nodes=(*cluster.nodes[:2], node, *cluster.nodes[3:])), node


def test_everything_is_readable_where_it_fits(cluster: GuestCluster, stack_key: StackKey) -> None:
    for node in cluster.nodes:
        found = limited_user_data(node, cluster, OWN, stack_key, EC2)
        assert found == LimitedUserData(content=user_data_text(node, cluster, OWN, stack_key).encode())


def test_larger_user_data_is_compressed(cluster: GuestCluster, stack_key: StackKey) -> None:
    node = cluster.frontend
    plain = user_data_text(node, cluster, PLAIN, stack_key)
    found = limited_user_data(node, cluster, PLAIN, stack_key, len(plain) - 1)
    assert not found.left_out
    assert gzip.decompress(found.content).decode() == plain
    assert found.content[4:8] == bytes(4), "the time stamp would make it irreproducible"


@pytest.mark.parametrize("limit", [EC2, OPENSTACK])
@pytest.mark.parametrize("computes", [2, 50, 500])
def test_a_cluster_of_any_size_fits(
    cluster_of: Callable[[int], GuestCluster], stack_key: StackKey, computes: int, limit: int
) -> None:
    cluster = cluster_of(computes)
    for node in (cluster.frontend, cluster.nodes[-1]):
        found = limited_user_data(node, cluster, OWN, stack_key, limit)
        assert len(found.content) <= limit
        assert bool(found.left_out) == (computes == 500)
        assert found == limited_user_data(node, cluster, OWN, stack_key, limit)
        files = written(config(found))
        assert not files.keys() & set(found.left_out) - {HOSTS}
        assert {file.path for file in live_files(node, cluster, stack_key)} <= files.keys() | set(found.left_out) | {
            "/etc/hostname",
            "/etc/pragmaspec/disks",
            "/etc/pragmaspec/users",
        }


def test_the_essential_part_stays(stack_key: StackKey) -> None:
    cluster, node = complete()
    for each in (cluster.frontend, node):
        found = essential_user_data(each, cluster, OWN, stack_key, EC2)
        document = config(found)
        pair = host_key(stack_key, cluster.mark(each.address))
        assert document["ssh_keys"] == {"ed25519_private": pair.private, "ed25519_public": f"{pair.public} {each.name}"}
        assert document["ssh_deletekeys"]
        assert (document["hostname"], document["packages"], document["timezone"]) == (each.name, ["nfs-common"], "Asia/Tokyo")
        assert "mount hello-frontend:/home /home" in document["runcmd"]
        files = written(document)
        assert {AUTHORIZED_KEYS, CLUSTER_KEY, HOSTS} <= files.keys()
        hosts = files[HOSTS][1]
        assert "hello-frontend" in hosts
        assert each.name in hosts
        assert "hello-compute-0\n" not in hosts
    assert NAT.unit in written(config(essential_user_data(cluster.frontend, cluster, OWN, stack_key, EC2)))


def test_files_are_left_out_in_the_documented_order(stack_key: StackKey) -> None:
    cluster, node = complete()
    order = tuple(path for stage in stages(node, cluster) for path in stage)
    essential = essential_user_data(node, cluster, PLAIN, stack_key, EC2)
    assert essential.left_out == order
    seen = set()
    for limit in range(len(essential_user_data(node, cluster, PLAIN, stack_key, 0).content) - 1, 8000, 40):
        left_out = limited_user_data(node, cluster, PLAIN, stack_key, limit).left_out
        assert left_out == order[: len(left_out)]
        seen.add(len(left_out))
    assert len(seen) > 5
    assert min(seen) == 0


def test_left_out_scripts_are_not_run(stack_key: StackKey) -> None:
    cluster, node = complete()
    whole = str(config(limited_user_data(node, cluster, PLAIN, stack_key, OPENSTACK)))
    rest = str(config(essential_user_data(node, cluster, PLAIN, stack_key, OPENSTACK)))
    for script in (USERS_SCRIPT.path, DISKS_SCRIPT.path):
        assert script in whole
        assert script not in rest
    brought = {file.path for file in live_files(node, cluster, stack_key)}
    assert {USERS_SCRIPT.path, DISKS_SCRIPT.path} <= brought


def test_too_large_user_data_is_returned_with_its_size(cluster: GuestCluster, stack_key: StackKey) -> None:
    found = limited_user_data(cluster.frontend, cluster, PLAIN, stack_key, 100)
    assert len(found.content) > 100
    assert found == essential_user_data(cluster.frontend, cluster, PLAIN, stack_key, 100)


def test_private_keys_are_not_shown(cluster: GuestCluster, stack_key: StackKey) -> None:
    found = limited_user_data(cluster.frontend, cluster, PLAIN, stack_key, EC2)
    assert "PRIVATE" not in repr(found) + str(found.__rich_repr__())
    assert repr(found).startswith("LimitedUserData(9")


@settings(max_examples=40, deadline=None)
@given(st.integers(1000, 60_000), st.integers(1, 60))
def test_whatever_is_left_out_follows(limit: int, computes: int) -> None:
    cluster, stack_key = make_cluster(computes, users=USERS), StackKey(bytes(32))
    node = cluster.nodes[-1]
    found = limited_user_data(node, cluster, PLAIN, stack_key, limit)
    assert set(found.left_out) <= {file.path for file in live_files(node, cluster, stack_key)}
    assert len(found.content) <= limit or found.left_out == essential_user_data(node, cluster, PLAIN, stack_key, limit).left_out
