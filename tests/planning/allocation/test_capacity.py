"""Capacity checks: the shortage, its amount, and the users."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.observed import CapacityUse, Inventory
from pragmaspec.planning.wanted import WantedCluster
from pragmaspec.site import Overcommit, Reserve, Site
from pragmaspec.state_model import State
from tests.planning.builders import (
    EMPTY,
    GIB,
    LAB,
    LINEAGE,
    ROOMY,
    applied,
    applied_state,
    cluster,
    image,
    line,
    nodes,
    planned,
    wanted,
)

SMALL = replace(ROOMY, cpus=4, memory_mib=8192, disk_bytes=100 * GIB, cpus_per_node=4)
FULL = cluster(computes=7)
"""Eight nodes of 1 GiB: all the memory that SMALL has."""


def short(asked: WantedCluster, *, inventory: Inventory = SMALL, site: Site = LAB, state: State = EMPTY) -> list[str]:
    try:
        planned(wanted(asked, sites=(site,), images=(replace(image(), where=line(3)),)), state, inventories={"lab": inventory})
    except PlanError as error:
        return [f"{problem.where.line}: {problem.summary}: {problem.detail}" for problem in error.problems]
    return []


def test_exact_fit_is_accepted() -> None:
    assert short(FULL) == []


def test_shortage_is_reported_at_the_largest_line() -> None:
    (message,) = short(cluster(computes=8))
    assert message == (
        "12: Not enough memory: Site lab is 1 GiB short: it has 8 GiB, this spec needs 9 GiB, and others use none. Reduce the "
        "spec, shut down other clusters, or raise the site's `overcommit:`."
    )


def test_shortage_names_the_largest_users() -> None:
    machines = tuple(CapacityUse(owner=f"vm{number}", memory_mib=256 * number, cpus=0) for number in range(1, 8))
    (message,) = short(
        cluster(computes=1), inventory=replace(SMALL, holdings=(*machines, CapacityUse(owner="vm7", memory_mib=256)))
    )
    assert "Site lab is 1.25 GiB short" in message
    assert "others use 7.25 GiB (vm7: 2 GiB, vm6: 1.5 GiB, vm5: 1.25 GiB, vm4: 1 GiB, vm3: 768 MiB and 2 more)" in message


def test_shortage_explains_reserve_and_overcommit() -> None:
    site = replace(LAB, reserve=Reserve(cpus=1, memory_mib=1024), overcommit=Overcommit(cpus=2.0, memory=1.0))
    (cpus,) = short(cluster(computes=nodes(6, cpus=1, memory_mib=256)), site=site)
    assert "Site lab is 1 cpu short: it has 6 cpus (4 cpus in total, 1 cpu reserved for the host, overcommitted 2 times)" in cpus
    (memory,) = short(cluster(computes=nodes(4, memory_mib=2048)), site=replace(site, overcommit=Overcommit()))
    assert "it has 7 GiB (8 GiB in total, 1 GiB reserved for the host)" in memory


def test_disk_is_overcommitted_ten_times() -> None:
    assert short(cluster(computes=nodes(2, memory_mib=256, disk_bytes=400 * GIB))) == []
    (message,) = short(cluster(computes=nodes(3, memory_mib=256, disk_bytes=400 * GIB)))
    assert "Not enough disk: Site lab is 204 GiB short: it has 1000 GiB (100 GiB in total, overcommitted 10 times)" in message


def test_node_with_too_many_cpus_is_refused() -> None:
    asked = cluster(computes=nodes(3, cpus=5, memory_mib=256), frontend=nodes(1, where=line(11)))
    first, *others = short(asked)
    assert first == (
        "12: Too many CPUs for one node: hello-compute-0 wants 5 cpus, and a node at site lab can have at most 4. "
        "Use more computes with fewer CPUs."
    )
    assert others == []


def test_images_larger_than_the_free_disk_are_refused() -> None:
    inventory = replace(SMALL, disk_free_bytes=500 * 2**20)
    (message,) = short(cluster(), inventory=inventory)
    assert message.startswith("3: ")
    assert "Staging debian-12 at site lab needs 612 MiB, and the pool has 500 MiB free: 112 MiB short." in message
    assert short(cluster(), inventory=replace(inventory, images=(image().digest,))) == []


def test_capacity_of_planned_nodes_counts_once() -> None:
    state = applied_state(FULL)
    ours = tuple(CapacityUse(owner="us", memory_mib=1024, lineage=LINEAGE, address=node.address) for node in state.nodes())
    inventory = replace(SMALL, holdings=ours)
    assert short(replace(FULL, vlan=30), inventory=inventory, state=state) == []
    (message,) = short(cluster(computes=8), inventory=inventory, state=state)
    assert "1 GiB short" in message


def test_unrecorded_machine_of_this_stack_counts() -> None:
    stray = CapacityUse(owner="cluster old of this stack", memory_mib=1024, lineage=LINEAGE, address="lab/old/node/old-frontend")
    (message,) = short(FULL, inventory=replace(SMALL, holdings=(stray,)))
    assert "cluster old of stack 3f9a1c2b: 1 GiB" in message


def test_stopped_nodes_need_no_memory() -> None:
    state = applied_state(FULL)
    off = applied(planned(wanted(replace(FULL, running=False)), state), state)
    assert short(replace(FULL, running=False, vlan=30), inventory=replace(SMALL, memory_mib=1), state=off) == []
    (message,) = short(FULL, inventory=replace(SMALL, memory_mib=4096), state=off)
    assert "Site lab is 4 GiB short" in message


def test_overcommitted_site_refuses_only_growth() -> None:
    state = applied_state(FULL)
    tight = replace(SMALL, memory_mib=4096)
    assert short(cluster(computes=5, vlan=30), inventory=tight, state=state) == []
    assert short(cluster(computes=8), inventory=tight, state=state)


def test_site_without_nodes_is_never_short() -> None:
    assert short(cluster(running=False, computes=0), inventory=replace(SMALL, memory_mib=0, cpus=0)) == []


@pytest.mark.parametrize("named", [True, False])
def test_all_shortages_are_reported_at_once(*, named: bool) -> None:
    asked = cluster(computes=nodes(9, cpus=9, disk_bytes=400 * GIB), **({"vlan": 4000} if named else {}))
    found = [message.split(": ")[1] for message in short(asked)]
    expected = ["Too many CPUs for one node", "Not enough CPUs", "Not enough memory", "Not enough disk"]
    assert found == ["VLAN outside the pool"] * named + expected


def test_large_amounts_use_large_units() -> None:
    asked = cluster(computes=nodes(2048, cpus=1, disk_bytes=500 * 2**40))
    message = "\n".join(short(asked, inventory=replace(SMALL, disk_bytes=4 * 2**40)))
    assert "2,033 cpus short: it has 16 cpus (4 cpus in total" in message
    assert "it has 40 TiB (4 TiB in total" in message
    assert "needs 1024001 TiB" in message
