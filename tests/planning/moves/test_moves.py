"""Names that change, as values: what moves, what stays, and what cannot be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.desired import mac_address
from pragmaspec.planning.moves.moves import effective_moves, moved_state
from pragmaspec.planning.moves.readdress import by_origin, by_recorded_address
from pragmaspec.planning.observed import CapacityUse, PoolUse
from pragmaspec.planning.planner import sites_needing_inventory, state_digest
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move
from pragmaspec.report.plan.text import plan_text
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import Record
from tests.planning.world import LAB, LINEAGE, ROOMY, acts, applied, cluster, image, nodes, observed, planned, settled, wanted

HELLO = settled(cluster())
TO_WORLD = Move(before="hello", after="world")
WORLD = moved_state(HELLO, (TO_WORLD,))
HALL = replace(LAB, name="hall")
TO_HALL = Move(before="lab", after="hall", kind="site")


def test_the_record_moves_and_the_object_stays_what_it_was() -> None:
    record = WORLD.record("lab/world/node/world-compute-1")
    assert record is not None
    assert record.original_address == "lab/hello/node/hello-compute-1"
    assert record.mark(LINEAGE) == HELLO.record("lab/hello/node/hello-compute-1").mark(LINEAGE)
    assert isinstance(record.resource, Node)
    assert record.resource.nics == HELLO.record("lab/hello/node/hello-compute-1").resource.nics
    allocation = WORLD.record("lab/world/allocation").resource
    assert isinstance(allocation, Allocation)
    assert [grant.node for grant in allocation.public] == ["world-frontend"]
    assert [site.name for site in WORLD.sites] == ["lab"]


def test_back_again_is_as_if_nothing_had_happened() -> None:
    assert moved_state(WORLD, (Move(before="world", after="hello"),)) == HELLO


def test_a_chain_is_followed_from_wherever_one_is() -> None:
    chain = (TO_WORLD, Move(before="world", after="mars"))
    assert moved_state(HELLO, chain) == moved_state(WORLD, chain) == moved_state(HELLO, (Move(before="hello", after="mars"),))
    assert [(move.before, move.after) for move in effective_moves(HELLO, chain)] == [("hello", "mars")]
    assert effective_moves(moved_state(HELLO, chain), chain) == ()


def test_what_was_made_as_another_is_not_taken_for_the_same() -> None:
    record = HELLO.record("lab/hello/node/hello-compute-1")
    there = WORLD.record("lab/world/node/world-compute-1")
    foreign = replace(there, origin="lab/hello/node/hello-compute-9")
    with pytest.raises(PlanError, match="Both names are recorded"):
        moved_state(replace(HELLO, records=(record, foreign)), (TO_WORLD,))


def test_a_site_moves_with_images_and_options() -> None:
    hall = moved_state(HELLO, (TO_HALL,))
    assert {record.resource.site for record in hall.records} == {"hall"}
    assert hall.site("hall") == replace(LAB, name="hall")
    assert {record.original_address for record in hall.records} == {record.address for record in HELLO.records}


def test_two_cannot_have_one_name() -> None:
    both = settled(cluster(), cluster("world", computes=0))
    with pytest.raises(PlanError, match="Both names are recorded"):
        moved_state(both, (TO_WORLD,))
    with pytest.raises(PlanError, match="Both names are recorded"):
        moved_state(both, (Move(before="hello", after="mars"), Move(before="world", after="mars")))
    with pytest.raises(PlanError, match="Both names are recorded"):
        sites_needing_inventory(wanted(cluster("world"), moves=(TO_WORLD,)), both)


@settings(max_examples=50)
@given(st.sets(st.sampled_from([record for record in HELLO.records if "/hello/" in record.address])), st.booleans())
def test_a_move_that_a_crash_cut_off_is_finished(moved: set[Record], copied: bool) -> None:
    """Records are written one by one: some may be there already under the new name, perhaps beside those under the old one."""
    there = [WORLD.record(record.address.replace("hello", "world")) for record in moved]
    half = HELLO.with_records([record for record in there if record], () if copied else [record.address for record in moved])
    assert moved_state(half, (TO_WORLD,)) == WORLD
    assert moved_state(half, (Move(before="world", after="hello"),)) == HELLO, "or turned back"


def test_a_circle_changes_nothing() -> None:
    assert moved_state(HELLO, (TO_WORLD, Move(before="world", after="hello"))) == HELLO


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef"), max_size=4),
    st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3),
)
def test_nothing_is_ever_lost_or_merged(names: dict[str, str], there: set[str]) -> None:
    state = settled(*(cluster(name, computes=0) for name in there))
    moves = tuple(Move(before=before, after=after) for before, after in names.items())
    try:
        after = moved_state(state, moves)
    except PlanError:
        return
    assert sorted(record.original_address for record in after.records) == [record.address for record in state.records]
    assert len({record.address for record in after.records}) == len(state.records)
    assert list(after.records) == sorted(after.records, key=lambda record: record.address)


def test_only_guests_are_told_and_the_plan_is_empty_then() -> None:
    spec = wanted(cluster("world"), moves=(TO_WORLD,))
    plan = planned(spec, HELLO)
    assert not plan.empty
    assert (plan.serial, plan.moves) == (HELLO.serial, (TO_WORLD,))
    assert acts(plan) == ["update world-frontend", "update world-compute-0", "update world-compute-1"]
    assert planned(spec, applied(plan, HELLO)).empty


def test_once_the_moves_are_recorded_the_rest_of_the_plan_holds() -> None:
    spec = wanted(cluster("world"), moves=(TO_WORLD,))
    plan = planned(spec, HELLO)
    recorded = replace(moved_state(HELLO, plan.moves), serial=HELLO.serial + 1)
    remaining = replace(plan, moves=(), serial=recorded.serial, state_sha256=state_digest(recorded))
    assert remaining == planned(spec, recorded)


def test_a_part_of_the_plan_moves_only_what_it_is_about() -> None:
    state = settled(cluster(), cluster("other", computes=0))
    spec = wanted(cluster("world"), cluster("other", computes=0), moves=(TO_WORLD,))
    assert planned(spec, state, request=PlanRequest(only_clusters=("other",))).empty
    assert planned(spec, state, request=PlanRequest(only_clusters=("world",))).moves == (TO_WORLD,)
    cleaned = planned(spec, state, request=PlanRequest(only_clusters=("hello",), drop=("hello",)))
    assert cleaned.moves == ()
    assert "clean hello-frontend" in acts(cleaned)


def test_a_machine_keeps_its_macs_until_it_is_made_anew() -> None:
    larger = planned(wanted(cluster("world", computes=nodes(2, memory_mib=2048))), WORLD)
    boot = next(each for each in larger.actions if each.verb == "boot")
    assert boot.resource.nics[0].mac == mac_address(LINEAGE, boot.address.replace("world", "hello"), "private")
    anew = planned(wanted(cluster("world"), images=(image(version="2"),)), WORLD)
    boot = next(each for each in anew.actions if each.verb == "boot")
    assert boot.resource.nics[0].mac == mac_address(LINEAGE, boot.address, "private")


def test_what_was_granted_is_held_by_its_new_name() -> None:
    taken = PoolUse(value="20", owner="us", lineage=LINEAGE, address="lab/hello/allocation")
    others = replace(taken, lineage="another")
    machine = CapacityUse(owner="us", cpus=1, lineage=LINEAGE, address="lab/hello/node/hello-frontend")
    told = by_recorded_address(replace(ROOMY, vlans=(taken, others), holdings=(machine,)), WORLD, "lab")
    assert [each.address for each in told.vlans] == ["lab/world/allocation", "lab/hello/allocation"]
    assert [each.address for each in told.holdings] == ["lab/world/node/world-frontend"]
    assert by_recorded_address(ROOMY, HELLO, "lab") is ROOMY


def test_a_grown_cluster_fits_where_its_machines_already_count() -> None:
    full = replace(
        ROOMY,
        memory_mib=4 * 1024,
        holdings=tuple(
            CapacityUse(owner="us", cpus=1, memory_mib=1024, lineage=LINEAGE, address=node.address) for node in HELLO.nodes()
        ),
    )
    plan = planned(wanted(cluster("world", computes=3)), WORLD, inventories={"lab": full})
    assert acts(plan)[-1] == "boot world-compute-2"


def test_what_a_renamed_site_tells_by_names_alone_is_understood() -> None:
    hall = moved_state(HELLO, (TO_HALL,))
    sight = observed(hall, "hall")
    (machine, *others), (granted,) = sight.nodes, sight.allocations
    disk = replace(machine, address=machine.address.replace("lab/", "hall/"), status="undefined")
    claim = replace(granted, address="hall/hello/allocation", networks=())
    split = replace(sight, nodes=(disk, machine, *others), allocations=(claim, replace(granted, public=())))
    assert by_origin(split, hall) == replace(sight, nodes=tuple(sorted(sight.nodes, key=lambda node: node.address)))
    alone = replace(sight, nodes=(disk, *others), allocations=(claim,))
    assert {node.address for node in by_origin(alone, hall).nodes} == {node.address for node in sight.nodes}
    assert [each.address for each in by_origin(alone, hall).allocations] == ["lab/hello/allocation"]
    assert by_origin(sight, HELLO) == sight


def test_the_old_name_cannot_be_taken_while_machines_carry_it() -> None:
    with pytest.raises(PlanError, match="The name is still in use at the site"):
        planned(wanted(cluster("world"), cluster("hello", computes=0)), WORLD)


def test_a_rename_nobody_told_of_is_asked_about() -> None:
    plan = planned(wanted(cluster("world")), HELLO)
    assert [(move.before, move.after) for move in plan.likely_moves] == [("hello", "world")]
    assert "    - {from: hello, to: world}\n" in plan_text(plan, width=80, colour=False)
    assert planned(wanted(cluster("world", computes=5)), HELLO).likely_moves == (), "another shape"
    assert planned(wanted(cluster(), cluster("world")), HELLO).likely_moves == (), "nothing goes"
    assert planned(wanted(), HELLO).likely_moves == (), "nothing comes"
    assert planned(wanted(cluster("world")), HELLO, request=PlanRequest(targets=("world",))).likely_moves == ()


def test_of_two_alike_each_is_asked_about_once() -> None:
    state = settled(cluster("a", computes=0), cluster("b", computes=0))
    plan = planned(wanted(cluster("c", computes=0)), state)
    assert [(move.before, move.after) for move in plan.likely_moves] == [("a", "c")]


def test_a_site_of_the_same_options_is_asked_about() -> None:
    plan = planned(wanted(cluster(site="hall"), sites=(HALL,)), HELLO)
    assert [(move.before, move.after, move.kind) for move in plan.likely_moves] == [("lab", "hall", "site")]
    elsewhere = replace(HALL, uri="qemu+ssh://root@hall/system")
    assert planned(wanted(cluster(site="hall"), sites=(elsewhere,)), HELLO).likely_moves == ()
