"""Users of devices and CPUs of hosts. See also tests/cases/plan/device-* and pin-*."""

from pragmaspec.planning.allocation.part_users import PartUsers
from pragmaspec.planning.observed import ExclusiveUse
from tests.planning.builders import LINEAGE

ONE, OTHER = "lab/hello/node/hello-compute-0", "lab/hello/node/hello-compute-1"


def use(part: int, owner: str, address: str = "", *, running: bool = True) -> tuple[int, ExclusiveUse]:
    lineage = LINEAGE if address else None
    return part, ExclusiveUse(value=str(part), owner=owner, lineage=lineage, address=address or None, running=running)


def test_a_part_is_free_for_the_node_that_has_it_alone() -> None:
    users = PartUsers(LINEAGE, {1: ONE}, [use(2, "machine by-hand", running=False), use(3, "ours", OTHER)])
    assert [[users.is_free(part, node) for part in range(5)] for node in (ONE, OTHER, "")] == [
        [True, True, False, False, True],
        [True, False, False, True, True],
        [True, False, False, False, True],
    ]


def test_a_taken_part_is_free_for_no_node() -> None:
    users = PartUsers[int](LINEAGE, {}, ())
    users.take((1, 2), ONE)
    assert [users.is_taken(part) for part in range(3)] == [False, True, True]
    assert [users.is_free(part, ONE) for part in range(3)] == [True, False, False]


def test_only_a_running_machine_of_another_node_runs_elsewhere() -> None:
    users = PartUsers(LINEAGE, {}, [use(1, "ours", ONE), use(2, "machine by-hand"), use(3, "machine by-hand", running=False)])
    assert [users.runs_elsewhere(part, ONE) for part in range(4)] == [False, False, True, False]
    assert users.runs_elsewhere(1, OTHER)


def test_names_are_those_of_machines_and_of_nodes_without_one() -> None:
    users = PartUsers(LINEAGE, {1: ONE, 2: ONE}, [use(1, "ours", ONE), use(2, "theirs"), use(3, "theirs", running=False)])
    users.take((4,), OTHER)
    assert [users.names(part) for part in range(5)] == [
        [],
        ["ours"],
        ["hello-compute-0 of this stack", "theirs"],
        ["theirs (off)"],
        ["hello-compute-1 of this stack"],
    ]
