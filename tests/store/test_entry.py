import pytest
from msgspec.structs import replace

from pragmaspec.planning.plan import Verb
from pragmaspec.recorded import Node, Record, State
from pragmaspec.site import SimulatedSite
from pragmaspec.store.entry import Begin, Bound, Cleared, Done, Failed, Gone, Intent, Ledger, SiteUsed
from tests.store.samples import ALLOCATION, LINEAGE, node

NODE = node(0)
READY = Record(resource=NODE, outputs=(("uuid", "u"),), generation=2)
EMPTY = State(lineage=LINEAGE)


def _after(*entries: object, earlier: Record | None = None) -> Record | None:
    ledger = Ledger(EMPTY.with_record(earlier) if earlier else EMPTY)
    for entry in entries:
        ledger.apply(entry)
    assert ledger.state.record(NODE.address) == ledger.record(NODE.address)
    return ledger.record(NODE.address)


def _intent(verb: Verb, resource: Node = NODE, generation: int = 0) -> Intent:
    return Intent(op="1", verb=verb, resource=resource, generation=generation)


def test_a_boot_without_outcome_is_pending():
    assert _after(_intent("boot")) == Record(resource=NODE, status="pending")


def test_a_pending_record_keeps_what_is_known_of_the_object():
    assert _after(_intent("boot"), earlier=READY) == replace(READY, status="pending")
    assert _after(_intent("boot", generation=3), earlier=READY) == replace(READY, status="pending", generation=3)


def test_outputs_are_known_as_soon_as_they_are_bound():
    assert _after(_intent("boot"), Bound(op="1", outputs=(("uuid", "v"),))) == Record(
        resource=NODE, status="pending", outputs=(("uuid", "v"),)
    )


def test_a_refusal_stays_pending_and_says_why():
    failed = _after(_intent("boot"), Failed(op="1", problem="no room"))
    assert failed == Record(resource=NODE, status="pending", problem="no room")
    assert _after(_intent("boot"), earlier=failed) == Record(resource=NODE, status="pending"), "a new try forgets the old problem"


def test_done_gone_and_cleared():
    assert _after(_intent("boot"), Done(op="1", record=READY)) == READY
    assert _after(_intent("clean"), Gone(op="1", address=NODE.address), earlier=READY) is None
    assert _after(_intent("boot"), Cleared(op="1"), earlier=READY) == READY
    assert _after(_intent("boot"), Cleared(op="1")) is None


@pytest.mark.parametrize("verb", ["clean", "update"])
def test_what_can_simply_be_repeated_keeps_its_record(verb):
    assert _after(_intent(verb, node(0, keys="k2")), earlier=READY) == READY
    failed = _after(_intent(verb, node(0, keys="k2")), Failed(op="1", problem="no"), earlier=READY)
    assert failed == replace(READY, problem="no")
    assert _after(_intent(verb)) is None
    assert _after(_intent(verb), Failed(op="1", problem="no")) is None


@pytest.mark.parametrize(
    "earlier", [replace(READY, resource=node(0, keys="k0")), replace(READY, resource=node(0, running=False))]
)
def test_a_boot_of_a_kept_disk_does_not_claim_that_its_guest_was_told(earlier):
    record = _after(_intent("boot"), earlier=earlier)
    assert record is not None
    assert isinstance(record.resource, Node)
    assert (record.resource.keys, record.resource.peers) == ("", "")


def test_a_new_build_of_a_node_reads_everything_at_its_first_boot():
    record = _after(_intent("boot", node(0, keys="k2"), generation=3), earlier=READY)
    assert record is not None
    assert record.resource == node(0, keys="k2")


def test_an_outcome_without_intent_is_no_journal_of_ours():
    for entry in (Bound(op="9"), Failed(op="9", problem=""), Done(op="9", record=READY), Cleared(op="9")):
        with pytest.raises(KeyError):
            Ledger(EMPTY).apply(entry)


def test_sites_are_kept_by_name():
    ledger = Ledger(EMPTY)
    for site in (SimulatedSite(name="b"), SimulatedSite(name="a"), SimulatedSite(name="b", parallel=2)):
        ledger.apply(SiteUsed(site=site))
    ledger.apply(Begin(lineage=LINEAGE, serial=0))
    assert ledger.state.sites == (SimulatedSite(name="a"), SimulatedSite(name="b", parallel=2))
    assert ledger.site("b") == SimulatedSite(name="b", parallel=2)


def test_other_resources_are_pending_as_they_are():
    ledger = Ledger(EMPTY)
    ledger.apply(Intent(op="1", verb="allocate", resource=ALLOCATION))
    assert ledger.record(ALLOCATION.address) == Record(resource=ALLOCATION, status="pending")
