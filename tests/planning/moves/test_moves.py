"""Renames of clusters and sites."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.desired import mac_address
from pragmaspec.planning.moves.moves import effective_moves, moved_state
from pragmaspec.planning.planner import sites_needing_inventory, state_digest
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import Record
from tests.planning.builders import LAB, LINEAGE, action_names, applied, applied_state, cluster, image, nodes, planned, wanted

HELLO = applied_state(cluster())
TO_WORLD = Move(before="hello", after="world")
WORLD = moved_state(HELLO, (TO_WORLD,))
TO_HALL = Move(before="lab", after="hall", kind="site")


def test_moved_record_keeps_the_identity_of_its_object() -> None:
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


def test_moving_back_restores_the_state() -> None:
    assert moved_state(WORLD, (Move(before="world", after="hello"),)) == HELLO


def test_chain_is_followed_from_any_step() -> None:
    chain = (TO_WORLD, Move(before="world", after="mars"))
    assert moved_state(HELLO, chain) == moved_state(WORLD, chain) == moved_state(HELLO, (Move(before="hello", after="mars"),))
    assert [(move.before, move.after) for move in effective_moves(HELLO, chain)] == [("hello", "mars")]
    assert effective_moves(moved_state(HELLO, chain), chain) == ()


def test_records_with_different_origins_are_not_merged() -> None:
    record = HELLO.record("lab/hello/node/hello-compute-1")
    there = WORLD.record("lab/world/node/world-compute-1")
    foreign = replace(there, origin="lab/hello/node/hello-compute-9")
    with pytest.raises(PlanError, match="Both names are recorded"):
        moved_state(replace(HELLO, records=(record, foreign)), (TO_WORLD,))


def test_moved_site_keeps_its_images_and_options() -> None:
    hall = moved_state(HELLO, (TO_HALL,))
    assert {record.resource.site for record in hall.records} == {"hall"}
    assert hall.site("hall") == replace(LAB, name="hall")
    assert {record.original_address for record in hall.records} == {record.address for record in HELLO.records}


def test_move_to_a_recorded_name_is_refused() -> None:
    both = applied_state(cluster(), cluster("world", computes=0))
    with pytest.raises(PlanError, match="Both names are recorded"):
        moved_state(both, (TO_WORLD,))
    with pytest.raises(PlanError, match="Both names are recorded"):
        moved_state(both, (Move(before="hello", after="mars"), Move(before="world", after="mars")))
    with pytest.raises(PlanError, match="Both names are recorded"):
        sites_needing_inventory(wanted(cluster("world"), moves=(TO_WORLD,)), both)


@settings(max_examples=50)
@given(st.sets(st.sampled_from([record for record in HELLO.records if "/hello/" in record.address])), st.booleans())
def test_interrupted_move_is_completed(moved: set[Record], copied: bool) -> None:
    """Records are written one by one, so both names can be recorded after a crash."""
    there = [WORLD.record(record.address.replace("hello", "world")) for record in moved]
    half = HELLO.with_records([record for record in there if record], () if copied else [record.address for record in moved])
    assert moved_state(half, (TO_WORLD,)) == WORLD
    assert moved_state(half, (Move(before="world", after="hello"),)) == HELLO, "or turned back"


def test_circular_moves_change_nothing() -> None:
    assert moved_state(HELLO, (TO_WORLD, Move(before="world", after="hello"))) == HELLO


@settings(max_examples=100)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef"), max_size=4),
    st.sets(st.sampled_from("abcdef"), min_size=1, max_size=3),
)
def test_moves_never_lose_or_merge_records(names: dict[str, str], there: set[str]) -> None:
    state = applied_state(*(cluster(name, computes=0) for name in there))
    moves = tuple(Move(before=before, after=after) for before, after in names.items())
    try:
        after = moved_state(state, moves)
    except PlanError:
        return
    assert sorted(record.original_address for record in after.records) == [record.address for record in state.records]
    assert len({record.address for record in after.records}) == len(state.records)
    assert list(after.records) == sorted(after.records, key=lambda record: record.address)


def test_move_only_updates_guests() -> None:
    spec = wanted(cluster("world"), moves=(TO_WORLD,))
    plan = planned(spec, HELLO)
    assert not plan.empty
    assert (plan.serial, plan.moves) == (HELLO.serial, (TO_WORLD,))
    assert action_names(plan) == ["update world-frontend", "update world-compute-0", "update world-compute-1"]
    assert planned(spec, applied(plan, HELLO)).empty


def test_remaining_plan_is_valid_after_moves_are_recorded() -> None:
    spec = wanted(cluster("world"), moves=(TO_WORLD,))
    plan = planned(spec, HELLO)
    recorded = replace(moved_state(HELLO, plan.moves), serial=HELLO.serial + 1)
    remaining = replace(plan, moves=(), serial=recorded.serial, state_sha256=state_digest(recorded))
    assert remaining == planned(spec, recorded)


def test_partial_plan_moves_only_clusters_in_scope() -> None:
    state = applied_state(cluster(), cluster("other", computes=0))
    spec = wanted(cluster("world"), cluster("other", computes=0), moves=(TO_WORLD,))
    assert planned(spec, state, request=PlanRequest(only_clusters=("other",))).empty
    assert planned(spec, state, request=PlanRequest(only_clusters=("world",))).moves == (TO_WORLD,)
    cleaned = planned(spec, state, request=PlanRequest(only_clusters=("hello",), drop=("hello",)))
    assert cleaned.moves == ()
    assert "clean hello-frontend" in action_names(cleaned)


def test_moved_node_keeps_its_macs_until_a_rebuild() -> None:
    larger = planned(wanted(cluster("world", computes=nodes(2, memory_mib=2048))), WORLD)
    boot = next(each for each in larger.actions if each.verb == "boot")
    assert boot.resource.nics[0].mac == mac_address(LINEAGE, boot.address.replace("world", "hello"), "private")
    anew = planned(wanted(cluster("world"), images=(image(version="2"),)), WORLD)
    boot = next(each for each in anew.actions if each.verb == "boot")
    assert boot.resource.nics[0].mac == mac_address(LINEAGE, boot.address, "private")


def test_old_name_cannot_be_reused_before_a_clean() -> None:
    with pytest.raises(PlanError, match="The name is still in use at the site"):
        planned(wanted(cluster("world"), cluster("hello", computes=0)), WORLD)
