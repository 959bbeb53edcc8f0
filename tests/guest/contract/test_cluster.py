from collections.abc import Callable

import pytest
from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings, first_boot_digest, keys_digest, peers_digest


def digest(cluster: GuestCluster) -> str:
    return peers_digest(cluster.allocation, cluster.nodes, cluster.domain)


def with_node(cluster: GuestCluster, **changes: object) -> GuestCluster:
    """Return ``cluster`` with its last compute changed."""
    return replace(cluster, nodes=(*cluster.nodes[:-1], replace(cluster.nodes[-1], **changes)))


def with_nic(cluster: GuestCluster, **changes: object) -> GuestCluster:
    return with_node(cluster, nics=(replace(cluster.nodes[-1].nics[0], **changes),))


def test_digests_have_16_hexadecimal_digits(cluster: GuestCluster) -> None:
    for value in (digest(cluster), keys_digest(("a",)), first_boot_digest(GuestSettings())):
        assert len(value) == 16
        int(value, 16)


def test_clusters_are_compared_by_identity(cluster: GuestCluster) -> None:
    assert cluster != replace(cluster)
    assert cluster.frontend.role == "frontend"


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: replace(cluster, nodes=cluster.nodes[:-1]),
        lambda cluster: replace(cluster, domain="example"),
        lambda cluster: with_node(cluster, cpus=8),
        lambda cluster: with_node(cluster, name="renamed"),
        lambda cluster: with_nic(cluster, address="10.22.9.9"),
        lambda cluster: with_nic(cluster, mac="52:54:00:00:99:99"),
        lambda cluster: with_nic(cluster, mtu=9000),
        lambda cluster: with_nic(cluster, gateway=None),
        lambda cluster: replace(cluster, allocation=replace(cluster.allocation, public=())),
        lambda cluster: replace(
            cluster,
            allocation=replace(cluster.allocation, public=(replace(cluster.allocation.public[0], fqdn="vc2.example.org"),)),
        ),
    ],
)
def test_peers_digest_changes_with_the_contract(cluster: GuestCluster, change: Callable[[GuestCluster], GuestCluster]) -> None:
    assert digest(change(cluster)) != digest(cluster)


@pytest.mark.parametrize(
    "change",
    [
        lambda cluster: with_node(cluster, memory_mib=4096, disk_bytes=2**40, image="ef" * 32),
        lambda cluster: with_node(cluster, protect=True, running=False, keys="1", peers="2", first_boot="3"),
        lambda cluster: with_nic(cluster, segment="bridge br7"),
        lambda cluster: replace(cluster, ssh_keys=("another",), spec_sha256="12" * 32),
        lambda cluster: replace(cluster, nodes=cluster.nodes[::-1]),
    ],
)
def test_peers_digest_does_not_change_with_anything_else(
    cluster: GuestCluster, change: Callable[[GuestCluster], GuestCluster]
) -> None:
    assert digest(change(cluster)) == digest(cluster)


def test_keys_digest_depends_on_the_set_of_keys() -> None:
    assert keys_digest(("a", "b")) == keys_digest(["b", "a", "a"])
    assert len({keys_digest(keys) for keys in ((), ("a",), ("a", "b"), ("ab",), ("",))}) == 5


def test_first_boot_digest_depends_on_packages_and_user_data() -> None:
    base = GuestSettings(packages=("a", "b"), user_data="x: 1\n")
    assert first_boot_digest(base) == first_boot_digest(replace(base, packages=("b", "a", "a")))
    others = [replace(base, packages=()), replace(base, packages=("a", "b", "c")), replace(base, user_data=""), base]
    assert len({first_boot_digest(settings) for settings in others}) == 4
