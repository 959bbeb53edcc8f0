"""Fixtures: a small cluster and its stack key."""

from collections.abc import Callable

import pytest

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.keys import StackKey
from pragmaspec.resources import Allocation, Network, Nic, Node, PublicGrant

LINEAGE = "3f9a1c2b-5d0e-4c1a-9b7e-0123456789ab"
USER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGK4hBQw4rQJ1rkRtbgbjMk0/iitVBvUVQtlPxmlYxTK ada@example.org"


def make_node(index: int | None, cluster: str = "hello", **changes: object) -> Node:
    """Return the frontend for None, else the compute with this index."""
    private = Nic(
        network="private",
        mac=f"52:54:00:00:{(index or 0) // 256:02x}:{(index or 0) % 256:02x}" if index is not None else "52:54:00:ff:00:00",
        address="10.22.0.1" if index is None else f"10.22.{(index + 10) // 256}.{(index + 10) % 256}",
        prefix=16,
        gateway=None if index is None else "10.22.0.1",
        dns=() if index is None else ("192.0.2.1",),
    )
    public = Nic(
        network="public", mac="52:54:00:FF:00:01", address="192.0.2.10", prefix=24, gateway="192.0.2.1", dns=("192.0.2.1",)
    )
    fields: dict[str, object] = {
        "site": "lab",
        "cluster": cluster,
        "name": f"{cluster}-frontend" if index is None else f"{cluster}-compute-{index}",
        "role": "frontend" if index is None else "compute",
        "index": index or 0,
        "cpus": 1 if index is None else 2,
        "memory_mib": 1024,
        "disk_bytes": 2**31,
        "image": "ab" * 32,
        "nics": (private, public) if index is None else (private,),
    }
    return Node(**{**fields, **changes})  # type: ignore[arg-type]  # the fields are typed by Node itself


def make_cluster(computes: int = 2, **changes: object) -> GuestCluster:
    """Return a cluster with a public frontend and ``computes`` computes."""
    allocation = Allocation(
        site="lab",
        cluster="hello",
        networks=(Network(name="private", cidr="10.22.0.0/16", vlan=22),),
        public=(
            PublicGrant(node="hello-frontend", address="192.0.2.10", prefix=24, gateway="192.0.2.1", fqdn="vc1.example.org"),
        ),
    )
    fields: dict[str, object] = {
        "allocation": allocation,
        "nodes": (make_node(None), *(make_node(index) for index in range(computes))),
        "domain": "local",
        "ssh_keys": (USER_KEY,),
        "spec_sha256": "cd" * 32,
        "lineage": LINEAGE,
    }
    return GuestCluster(**{**fields, **changes})  # type: ignore[arg-type]  # the fields are typed by GuestCluster itself


@pytest.fixture
def stack_key() -> StackKey:
    return StackKey(bytes(range(32)))


@pytest.fixture
def node_of() -> Callable[..., Node]:
    return make_node


@pytest.fixture
def cluster_of() -> Callable[..., GuestCluster]:
    return make_cluster


@pytest.fixture
def cluster() -> GuestCluster:
    return make_cluster()
