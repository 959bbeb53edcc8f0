import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.planning.plan import Verb
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Node, Readiness
from pragmaspec.site import SimulatedSite
from pragmaspec.state.journal_entries import (
    CLOSED_OPS_KEPT_S,
    Begin,
    Bound,
    Done,
    Failed,
    Intent,
    JournalEntry,
    JournalReplay,
    Moved,
    Removed,
    Retracted,
    SiteUsed,
)
from pragmaspec.state_model import ClosedOp, Record, State
from tests.state.samples import ALLOCATION, LINEAGE, node

NODE = node(0)
READY = Record(resource=NODE, outputs=(("uuid", "u"),), generation=2, op="0")
BEGUN = Record(resource=NODE, status="pending", op="1")
EMPTY = State(lineage=LINEAGE)


def _after(*entries: object, earlier: Record | None = None) -> Record | None:
    ledger = JournalReplay(EMPTY.with_record(earlier) if earlier else EMPTY)
    for entry in entries:
        ledger.apply(entry)
    assert ledger.state.record(NODE.address) == ledger.record(NODE.address)
    return ledger.record(NODE.address)


def _intent(verb: Verb, resource: Node = NODE, generation: int = 0) -> Intent:
    return Intent(op="1", verb=verb, resource=resource, generation=generation)


def test_a_boot_without_outcome_is_pending():
    assert _after(_intent("boot")) == BEGUN


def test_a_pending_record_keeps_known_outputs():
    assert _after(_intent("boot"), earlier=READY) == replace(READY, status="pending")
    unnamed = replace(READY, op="", origin="lab/old/node/old-compute-0")
    assert _after(_intent("boot"), earlier=unnamed) == replace(unnamed, status="pending", op="1")


def test_a_rebuild_is_a_new_creation():
    moved = replace(READY, origin="lab/old/node/old-compute-0")
    assert _after(_intent("boot", generation=3), earlier=moved) == replace(BEGUN, generation=3, origin=moved.origin)


@pytest.mark.parametrize("generation", [0, 3])
@pytest.mark.parametrize("earlier", [None, READY])
def test_an_unfinished_boot_may_have_told_only_a_part_where_user_data_is_limited(earlier, generation):
    cloud = SiteUsed(site=SimulatedSite(name="lab", user_data_limit=16384))
    begun = _after(cloud, _intent("boot", generation=generation), earlier=earlier)
    assert begun.resource == replace(NODE, keys="", peers="", users=())
    immediate = replace(NODE, readiness=Readiness(when="none"))
    begun = _after(cloud, _intent("boot", immediate, generation=generation), earlier=earlier)
    assert begun.resource == immediate, "the plan required that everything fits"
    assert _after(cloud, _intent("boot"), Done(op="1", record=READY)) == READY


def test_bound_records_the_outputs():
    assert _after(_intent("boot"), Bound(op="1", outputs=(("uuid", "v"),))) == replace(BEGUN, outputs=(("uuid", "v"),))


def test_values_that_the_site_has_chosen_are_recorded_with_the_answer():
    named = (("address:private", "10.22.0.99"), ("mac:private", "fa:16:3e:00:00:01"), ("uuid", "v"))
    nics = tuple(replace(nic, mac="fa:16:3e:00:00:01", address="10.22.0.99") for nic in BEGUN.resource.nics)
    recorded = replace(BEGUN, resource=replace(BEGUN.resource, nics=nics), outputs=(("uuid", "v"),))
    assert _after(_intent("boot"), Bound(op="1", outputs=named)) == recorded


def test_a_failure_keeps_the_record_pending_with_its_problem():
    failed = _after(_intent("boot"), Failed(op="1", problem="no room"))
    assert failed == replace(BEGUN, problem="no room")
    again = Intent(op="2", verb="boot", resource=NODE)
    assert _after(again, earlier=failed) == BEGUN, "a retry clears the problem and continues the creation"


def test_done_removed_and_retracted():
    assert _after(_intent("boot"), Done(op="1", record=READY)) == READY
    assert _after(_intent("clean"), Removed(op="1", address=NODE.address), earlier=READY) is None
    assert _after(_intent("boot"), Retracted(op="1"), earlier=READY) == READY
    assert _after(_intent("boot"), Retracted(op="1")) is None


@pytest.mark.parametrize("verb", ["clean", "update"])
def test_clean_and_update_keep_the_record(verb):
    assert _after(_intent(verb, node(0, keys="k2")), earlier=READY) == READY
    failed = _after(_intent(verb, node(0, keys="k2")), Failed(op="1", problem="no"), earlier=READY)
    assert failed == replace(READY, problem="no")
    assert _after(_intent(verb)) is None
    assert _after(_intent(verb), Failed(op="1", problem="no")) is None


@pytest.mark.parametrize(
    "earlier", [replace(READY, resource=node(0, keys="k0")), replace(READY, resource=node(0, running=False))]
)
def test_a_boot_of_an_existing_disk_drops_outdated_guest_info(earlier):
    record = _after(_intent("boot"), earlier=earlier)
    assert record is not None
    assert isinstance(record.resource, Node)
    assert (record.resource.keys, record.resource.peers) == ("", "")


def test_a_rebuilt_node_reads_guest_info_at_its_first_boot():
    record = _after(_intent("boot", node(0, keys="k2"), generation=3), earlier=READY)
    assert record is not None
    assert record.resource == node(0, keys="k2")


def test_an_outcome_without_intent_is_an_error():
    for entry in (Bound(op="9"), Failed(op="9", problem=""), Done(op="9", record=READY), Retracted(op="9")):
        with pytest.raises(KeyError):
            JournalReplay(EMPTY).apply(entry)


def test_sites_are_recorded_by_name():
    ledger = JournalReplay(EMPTY)
    for site in (SimulatedSite(name="b"), SimulatedSite(name="a"), SimulatedSite(name="b", parallel=2)):
        ledger.apply(SiteUsed(site=site))
    ledger.apply(Begin(lineage=LINEAGE, serial=0))
    assert ledger.state.sites == (SimulatedSite(name="a"), SimulatedSite(name="b", parallel=2))
    assert ledger.site("b") == SimulatedSite(name="b", parallel=2)


def test_other_pending_resources_are_unchanged():
    ledger = JournalReplay(EMPTY)
    ledger.apply(Intent(op="1", verb="allocate", resource=ALLOCATION))
    assert ledger.record(ALLOCATION.address) == Record(resource=ALLOCATION, status="pending", op="1")


def test_an_outcome_keeps_origin_and_op_of_the_object():
    moved = replace(READY, origin="lab/old/node/old-compute-0")
    plain = Record(resource=NODE, generation=2)
    assert _after(Done(record=plain), earlier=moved) == replace(plain, op="0", origin=moved.origin)
    assert _after(Done(record=replace(plain, op="7")), earlier=READY) == replace(plain, op="7")
    assert _after(Done(record=replace(plain, generation=3)), earlier=moved) == replace(plain, generation=3)


LATE = SimulatedSite(name="lab", window_s=60.0)


def _closed(*entries, site=LATE, earlier=READY):
    ledger = JournalReplay(replace(EMPTY.with_record(earlier), sites=(site,)))
    for entry in entries:
        ledger.apply(entry)
    return ledger.state.closed_ops


def test_closed_ops_are_kept_for_sites_that_complete_late():
    gone = Removed(address=NODE.address, at=1000.0)
    assert _closed(gone) == (ClosedOp(op="0", address=NODE.address, closed_at=1000.0),)
    assert _closed(gone, site=SimulatedSite(name="lab")) == ()
    assert _closed(gone, Removed(address=NODE.address, at=2000.0)) == _closed(gone), "recorded once"
    assert _closed(gone, earlier=replace(READY, op="")) == ()


def test_closed_ops_are_dropped_after_a_week():
    again = Done(record=replace(READY, op="8"))
    late = Removed(address=NODE.address, at=1000.0 + CLOSED_OPS_KEPT_S + 1)
    assert [each.op for each in _closed(Removed(address=NODE.address, at=1000.0), again, late)] == ["8"]
    assert Removed(address="x").at > 1.7e9, "the time at which it was recorded"


def test_the_op_of_a_moved_object_is_not_closed():
    moved = Record(resource=node(0, cluster="other"), op="0", origin=NODE.address, generation=2)
    assert _closed(Done(record=moved), Removed(address=NODE.address, at=1.0)) == ()


def test_a_move_keeps_the_objects():
    ledger = JournalReplay(EMPTY.with_records((Record(resource=ALLOCATION), READY)))
    entry = Moved(moves=(Move(before=NODE.cluster, after="renamed"),))
    ledger.apply(msgspec.json.decode(msgspec.json.encode(entry), type=JournalEntry))
    moved = [record for record in ledger.state.records if isinstance(record.resource, Node)]
    assert [record.origin for record in moved] == [NODE.address]
    assert moved[0].address.startswith(f"{NODE.site}/renamed/node/renamed-")
    assert (moved[0].op, moved[0].generation, moved[0].outputs) == (READY.op, READY.generation, READY.outputs)
    assert ledger.record(NODE.address) is None
