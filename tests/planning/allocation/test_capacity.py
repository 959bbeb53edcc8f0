"""Whether a site can carry what is wanted, and a refusal that says what is short, by how much, and who holds it."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.observed import CapacityUse, Inventory
from pragmaspec.planning.wanted import WantedCluster
from pragmaspec.site import Overcommit, Reserve, Site
from pragmaspec.state_model import State
from tests.planning.world import EMPTY, GIB, LAB, LINEAGE, ROOMY, applied, cluster, image, line, nodes, planned, settled, wanted

SMALL = replace(ROOMY, cpus=4, memory_mib=8192, disk_bytes=100 * GIB, cpus_per_node=4)
FULL = cluster(computes=7)
"""Eight nodes of 1 GiB: all the memory that SMALL has."""


def short(asked: WantedCluster, *, inventory: Inventory = SMALL, site: Site = LAB, state: State = EMPTY) -> list[str]:
    try:
        planned(wanted(asked, sites=(site,), images=(replace(image(), where=line(3)),)), state, inventories={"lab": inventory})
    except PlanError as error:
        return [f"{problem.where.line}: {problem.summary}: {problem.detail}" for problem in error.problems]
    return []


def test_what_fits_exactly_fits() -> None:
    assert short(FULL) == []


def test_one_node_more_is_short_by_its_memory_at_the_line_that_asks_for_most() -> None:
    (said,) = short(cluster(computes=8))
    assert said == (
        "12: Not enough memory: Site lab is 1 GiB short: it has 8 GiB, this spec needs 9 GiB, and others use none. Reduce the "
        "spec, shut down other clusters, or raise the site's `overcommit:`."
    )


def test_what_others_hold_counts_and_the_largest_are_named() -> None:
    machines = tuple(CapacityUse(owner=f"vm{number}", memory_mib=256 * number, cpus=0) for number in range(1, 8))
    (said,) = short(cluster(computes=1), inventory=replace(SMALL, holdings=(*machines, CapacityUse(owner="vm7", memory_mib=256))))
    assert "Site lab is 1.25 GiB short" in said
    assert "others use 7.25 GiB (vm7: 2 GiB, vm6: 1.5 GiB, vm5: 1.25 GiB, vm4: 1 GiB, vm3: 768 MiB and 2 more)" in said


def test_what_the_host_keeps_and_how_often_a_unit_is_promised_is_explained() -> None:
    site = replace(LAB, reserve=Reserve(cpus=1, memory_mib=1024), overcommit=Overcommit(cpus=2.0, memory=1.0))
    (cpus,) = short(cluster(computes=nodes(6, cpus=1, memory_mib=256)), site=site)
    assert "Site lab is 1 cpu short: it has 6 cpus (4 cpus in total, 1 cpu reserved for the host, overcommitted 2 times)" in cpus
    (memory,) = short(cluster(computes=nodes(4, memory_mib=2048)), site=replace(site, overcommit=Overcommit()))
    assert "it has 7 GiB (8 GiB in total, 1 GiB reserved for the host)" in memory


def test_disks_may_be_promised_ten_times() -> None:
    assert short(cluster(computes=nodes(2, memory_mib=256, disk_bytes=400 * GIB))) == []
    (said,) = short(cluster(computes=nodes(3, memory_mib=256, disk_bytes=400 * GIB)))
    assert "Not enough disk: Site lab is 204 GiB short: it has 1000 GiB (100 GiB in total, overcommitted 10 times)" in said


def test_a_node_must_fit_in_one_machine() -> None:
    asked = cluster(computes=nodes(3, cpus=5, memory_mib=256), frontend=nodes(1, where=line(11)))
    first, *others = short(asked)
    assert first == (
        "12: Too many CPUs for one node: hello-compute-0 wants 5 cpus, and a node at site lab can have at most 4. "
        "Use more computes with fewer CPUs."
    )
    assert others == []


def test_images_must_fit_before_they_are_staged() -> None:
    inventory = replace(SMALL, disk_free_bytes=500 * 2**20)
    (said,) = short(cluster(), inventory=inventory)
    assert said.startswith("3: ")
    assert "Staging debian-12 at site lab needs 612 MiB, and the pool has 500 MiB free: 112 MiB short." in said
    assert short(cluster(), inventory=replace(inventory, images=(image().digest,))) == []


def test_our_own_nodes_do_not_count_twice() -> None:
    state = settled(FULL)
    ours = tuple(CapacityUse(owner="us", memory_mib=1024, lineage=LINEAGE, address=node.address) for node in state.nodes())
    inventory = replace(SMALL, holdings=ours)
    assert short(replace(FULL, vlan=30), inventory=inventory, state=state) == []
    (said,) = short(cluster(computes=8), inventory=inventory, state=state)
    assert "1 GiB short" in said


def test_our_machine_that_nobody_recorded_holds_what_it_holds() -> None:
    stray = CapacityUse(owner="cluster old of this stack", memory_mib=1024, lineage=LINEAGE, address="lab/old/node/old-frontend")
    (said,) = short(FULL, inventory=replace(SMALL, holdings=(stray,)))
    assert "cluster old of stack 3f9a1c2b: 1 GiB" in said


def test_nodes_that_are_off_need_no_memory() -> None:
    state = settled(FULL)
    off = applied(planned(wanted(replace(FULL, running=False)), state), state)
    assert short(replace(FULL, running=False, vlan=30), inventory=replace(SMALL, memory_mib=1), state=off) == []
    (said,) = short(FULL, inventory=replace(SMALL, memory_mib=4096), state=off)
    assert "Site lab is 4 GiB short" in said


def test_a_site_that_is_over_full_is_a_problem_only_to_who_asks_for_more() -> None:
    state = settled(FULL)
    tight = replace(SMALL, memory_mib=4096)
    assert short(cluster(computes=5, vlan=30), inventory=tight, state=state) == []
    assert short(cluster(computes=8), inventory=tight, state=state)


def test_a_site_where_no_node_is_wanted_is_never_short() -> None:
    assert short(cluster(running=False, computes=0), inventory=replace(SMALL, memory_mib=0, cpus=0)) == []


@pytest.mark.parametrize("named", [True, False])
def test_everything_short_is_told_at_once_also_for_a_cluster_without_a_network(*, named: bool) -> None:
    asked = cluster(computes=nodes(9, cpus=9, disk_bytes=400 * GIB), **({"vlan": 4000} if named else {}))
    found = [said.split(": ")[1] for said in short(asked)]
    expected = ["Too many CPUs for one node", "Not enough CPUs", "Not enough memory", "Not enough disk"]
    assert found == ["VLAN outside the pool"] * named + expected


def test_large_amounts_are_written_in_large_units() -> None:
    asked = cluster(computes=nodes(2048, cpus=1, disk_bytes=500 * 2**40))
    said = "\n".join(short(asked, inventory=replace(SMALL, disk_bytes=4 * 2**40)))
    assert "2,033 cpus short: it has 16 cpus (4 cpus in total" in said
    assert "it has 40 TiB (4 TiB in total" in said
    assert "needs 1024001 TiB" in said
