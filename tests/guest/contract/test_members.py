from collections.abc import Callable

from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.contract.members import machinefile_text, members
from pragmaspec.resources import Node


def test_the_machine_file_lists_computes(cluster: GuestCluster) -> None:
    assert machinefile_text(cluster) == "hello-compute-0 slots=2\nhello-compute-1 slots=2\n"


def test_the_machine_file_of_a_frontend_without_computes_lists_it(cluster_of: Callable[[int], GuestCluster]) -> None:
    assert machinefile_text(cluster_of(0)) == "hello-frontend slots=1\n"


def test_the_machine_file_leaves_out_groups_that_opt_out(cluster: GuestCluster, node_of: Callable[..., Node]) -> None:
    store = node_of(0, name="hello-store-0", group="store", machinefile=False)
    mixed = replace(cluster, nodes=(*cluster.nodes, store))
    assert machinefile_text(mixed) == "hello-compute-0 slots=2\nhello-compute-1 slots=2\n"
    assert machinefile_text(replace(cluster, nodes=(cluster.frontend, store))) == "hello-frontend slots=1\n"


def test_an_address_without_a_unique_name_is_omitted(cluster: GuestCluster) -> None:
    twice = (cluster.frontend.nics[0], replace(cluster.frontend.nics[0], address="10.22.7.7"))
    found = members(replace(cluster, nodes=(replace(cluster.frontend, nics=twice),)))
    assert [address for address, _ in found[0].names] == ["10.22.0.1"]
