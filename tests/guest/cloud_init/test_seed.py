import tarfile
from collections.abc import Callable
from io import BytesIO

from pycdlib import PyCdlib

from pragmaspec.guest.cloud_init.seed import seed_iso
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.contract.files import contract_files, identity_files, login_files
from pragmaspec.guest.keys import StackKey
from pragmaspec.resources import Mark, Node

PLAIN = GuestSettings()


def seed(node: Node, cluster: GuestCluster, stack_key: StackKey) -> bytes:
    return seed_iso(node, cluster, PLAIN, stack_key, Mark(lineage=cluster.lineage, address=node.address))


def guest_tar(data: bytes) -> dict[str, tuple[int, str]]:
    image, buffer = PyCdlib(), BytesIO()
    image.open_fp(BytesIO(data))
    image.get_file_from_iso_fp(buffer, rr_path="/guest.tar")
    image.close()
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        return {
            f"/{entry.name}": (entry.mode, source.read().decode())
            for entry in archive
            if (source := archive.extractfile(entry)) is not None
        }


def test_the_seed_has_its_label_and_is_reproducible(cluster: GuestCluster, stack_key: StackKey) -> None:
    data = seed(cluster.frontend, cluster, stack_key)
    assert data[16 * 2048 + 40 :][:6] == b"cidata"
    assert data == seed(cluster.frontend, cluster, stack_key)


def test_guest_tar_contains_all_files(cluster: GuestCluster, stack_key: StackKey) -> None:
    node = cluster.nodes[1]
    expected = (
        *identity_files(node, cluster, stack_key),
        *login_files(cluster, stack_key),
        *contract_files(node, cluster, stack_key),
    )
    assert guest_tar(seed(node, cluster, stack_key)) == {file.path: (file.mode, file.content) for file in expected}


def test_guest_tar_contains_the_gateway_script(cluster: GuestCluster, stack_key: StackKey) -> None:
    mode, script = guest_tar(seed(cluster.frontend, cluster, stack_key))["/usr/local/sbin/pragmaspec-nat"]
    assert mode == 0o755
    assert script.startswith("#!/bin/sh\n")


def test_guest_tar_contains_the_interface_table(cluster: GuestCluster, stack_key: StackKey) -> None:
    found = guest_tar(seed(cluster.frontend, cluster, stack_key))
    assert found["/etc/pragmaspec/interfaces"][1] == (
        "52:54:00:ff:00:00 10.22.0.1/16 - 1500 -\n52:54:00:FF:00:01 192.0.2.10/24 192.0.2.1 1500 192.0.2.1\n"
    )
    assert found["/etc/hostname"][1] == "hello-frontend\n"


def test_the_seed_of_a_large_cluster_is_small(cluster_of: Callable[[int], GuestCluster], stack_key: StackKey) -> None:
    cluster = cluster_of(2000)
    assert len(seed(cluster.nodes[7], cluster, stack_key)) < 2_000_000
