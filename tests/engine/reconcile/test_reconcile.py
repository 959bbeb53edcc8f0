"""The reconciliation at the start of an apply, its refusals, and the removal of leftovers at the end."""

import os
import signal
import threading
import time

import pytest
from msgspec.structs import replace

from pragmaspec.engine.apply import apply_plan
from pragmaspec.errors import ApplyIncompleteError, InterruptedRunError, PlanRefusedError, SiteConflictError, SiteUnreachableError
from pragmaspec.planning.wanted import Move
from pragmaspec.state_model import SITE_OUTPUT
from tests.engine.fake_provider import FakeProvider, applying, bring_up, plan_for
from tests.engine.harness import LATE_SITE, Harness, remaining_actions
from tests.state.samples import ALLOCATION, act, node


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    return Harness(tmp_path)


def test_a_machine_created_by_a_call_with_a_lost_response_is_bound(lab):
    actions = bring_up(1)
    lab.provider.lost, lab.provider.blind = {node(0).name}, True
    with pytest.raises(ApplyIncompleteError, match="the response was lost"):
        lab.apply(*actions)
    lab.provider.blind = False
    (made,) = [seen for seen in lab.machines() if seen.address == node(0).address]
    assert lab.record(node(0)).site_id == ""
    lab.apply(*remaining_actions(lab, actions))
    assert lab.record(node(0)).site_id == made.id
    assert (len(lab.machines()), lab.clock.now()) == (2, 1_000_000.0), "no duplicates and no waiting"


@pytest.mark.parametrize("kind", ["ident", "token", "tag"])
def test_a_lost_response_is_resolved_within_the_run(tmp_path, kind):
    lab = Harness(tmp_path, replace(LATE_SITE, identity=kind, window_s=0.0 if kind == "ident" else 300.0))
    lab.provider.lost = {node(0).name}
    lab.apply(*bring_up(1))
    assert {record.status for record in lab.store.read().records} == {"ready"}
    assert (len(lab.machines()), lab.clock.now()) == (2, 1_000_000.0)


def test_many_lost_responses_share_few_listings(lab):
    actions = bring_up(99)
    lab.provider.lost = {action.resource.name for action in actions if action.verb == "boot"}
    with pytest.raises(ApplyIncompleteError, match="the response was lost"):
        lab.apply(*actions)
    assert lab.provider.listings <= 18
    lab.apply(*remaining_actions(lab, actions))
    assert {record.status for record in lab.store.read().records} == {"ready"}
    assert len(lab.machines()) == 100


def test_fifty_open_intents_are_recovered_with_one_listing(lab):
    actions = bring_up(49)
    lab.provider.lost, lab.provider.blind = {action.resource.name for action in actions if action.verb == "boot"}, True
    with pytest.raises(ApplyIncompleteError):
        lab.apply(*actions)
    lab.provider.blind, lab.provider.listings = False, 0
    lab.apply(*remaining_actions(lab, actions))
    assert {record.status for record in lab.store.read().records} == {"ready"}
    assert lab.provider.listings == 2, "one for recovery, one for leftovers at the end"
    assert len(lab.machines()) == 50


def test_recovery_waits_for_a_machine_that_may_still_appear(lab):
    actions = bring_up(0)
    lab.apply(*actions[:2])
    boot = lab.provider.boot

    def late(order):
        lab.clock.after(200.0, lambda: boot(order))
        raise SiteUnreachableError("gateway timeout")

    lab.provider.boot = late
    with pytest.raises(ApplyIncompleteError, match="gateway timeout"):
        lab.apply(*actions)
    lab.provider.boot = boot
    lab.apply(*remaining_actions(lab, actions))
    assert lab.clock.now() >= 1_000_300.0
    assert [seen.id for seen in lab.machines()] == [lab.record(node(-1)).site_id]


def test_a_signal_ends_the_recovery_wait(lab):
    actions = bring_up(0)
    lab.apply(*actions[:2])
    lab.provider.boot = _raise(SiteUnreachableError("gateway timeout"))
    with pytest.raises(ApplyIncompleteError):
        lab.apply(*actions)
    lab.clock.after(5.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    began = lab.clock.now()
    with pytest.raises(InterruptedRunError, match="Not started: boot hello-frontend"):
        lab.apply(*remaining_actions(lab, actions))
    assert lab.clock.now() - began < 60


def _raise(error):
    def refuse(*_):
        raise error

    return refuse


def test_a_duplicate_machine_is_removed_at_the_end_of_an_apply(lab):
    lab.apply(*bring_up(0))
    record = lab.record(node(-1))
    order = []
    boot = lab.provider.boot
    lab.provider.boot = lambda request: order.append(request) or boot(request)
    lab.apply(act("boot", node(0)))
    lab.provider.boot = boot
    boot(replace(order[0], site_id=""))  # a duplicate of the request arrives late
    assert len(lab.machines()) == 3
    applied = lab.apply()
    assert applied.removed_leftovers == (node(0).address,)
    assert {seen.id for seen in lab.machines()} == {record.site_id, lab.record(node(0)).site_id}


def test_a_machine_that_appears_after_its_clean_is_removed(lab):
    lab.apply(*bring_up(0))
    order = []
    boot = lab.provider.boot
    lab.provider.boot = lambda request: order.append(request) or boot(request)
    lab.apply(act("boot", node(0)))
    lab.apply(act("clean", node(0)))
    assert [closed.address for closed in lab.store.read().closed_ops] == [node(0).address]
    boot(replace(order[0], site_id=""))
    assert lab.apply().removed_leftovers == (node(0).address,)
    assert len(lab.machines()) == 1


def test_a_machine_with_an_unknown_op_is_left_alone(lab):
    lab.apply(*bring_up(0))
    order = []
    boot = lab.provider.boot
    lab.provider.boot = lambda request: order.append(request) or boot(request)
    lab.apply(act("boot", node(-1)))
    boot(replace(order[0], site_id="", mark=replace(order[0].mark, op="f" * 32)))
    assert lab.apply().removed_leftovers == ()
    assert len(lab.machines()) == 2


def test_an_empty_plan_makes_no_listing_when_leftovers_are_impossible(tmp_path):
    lab = Harness(tmp_path, replace(LATE_SITE, identity="ident", window_s=0.0))
    lab.apply()
    assert lab.provider.listings == 0


def test_shutting_down_a_node_that_was_never_created_removes_its_record(lab):
    lab.apply(*bring_up(0)[:2])
    lab.provider.boot = _raise(SiteUnreachableError("gateway timeout"))
    with pytest.raises(ApplyIncompleteError):
        lab.apply(act("boot", node(-1)))
    lab.apply(act("shutdown", node(-1, running=False)))
    assert lab.record(node(-1)) is None


def test_a_refused_allocation_is_not_recorded(lab):
    lab.provider.refuses = {ALLOCATION.address: SiteConflictError("taken")}
    with pytest.raises(ApplyIncompleteError, match="Another claim came first"):
        lab.apply(*bring_up(0))
    assert lab.record(ALLOCATION) is None, "so the next plan chooses other values"
    lab.provider.refuses = {}
    lab.apply(*remaining_actions(lab, bring_up(0)))
    lab.provider.refuses = {ALLOCATION.address: SiteConflictError("taken")}
    before = lab.record(ALLOCATION)
    with pytest.raises(ApplyIncompleteError):
        lab.apply(act("allocate", replace(ALLOCATION, public=())))
    assert lab.record(ALLOCATION) == before, "the recorded allocation is kept"


def test_objects_changed_since_the_plan_refuse_the_apply(lab):
    lab.apply(*bring_up(0))
    before = lab.store.read()
    with pytest.raises(PlanRefusedError) as caught:
        lab.apply(act("shutdown", node(-1, running=False)), fingerprints=((node(-1).address, "0" * 16),))
    (problem,) = caught.value.problems
    assert problem.summary == "The sites have changed since the plan was made"
    assert node(-1).address in problem.detail
    assert lab.store.read() == before


def test_an_unreachable_site_receives_no_calls(lab):
    lab.provider.observe = _raise(SiteUnreachableError("no route"))
    with pytest.raises(
        ApplyIncompleteError, match=r"stage debian-12 at site lab: no route.*Not started: allocate hello"
    ) as caught:
        lab.apply(*bring_up(0))
    assert caught.value.exit_status == 5
    assert lab.world._memory.everything() == ()


def test_an_allocation_records_the_identity_of_its_site(lab):
    lab.apply(*bring_up(0))
    assert dict(lab.record(ALLOCATION).outputs) == {SITE_OUTPUT: lab.provider.identity().id}


def test_moves_are_recorded_before_any_action(tmp_path):
    lab = Harness(tmp_path, replace(LATE_SITE, identity="ident", window_s=0.0))
    lab.apply(*bring_up(0))
    lab.apply(moves=(Move(before="hello", after="world"),))
    state = lab.store.read()
    moved = state.record("lab/world/node/world-frontend")
    assert (moved.origin, moved.status) == (node(-1).address, "ready")
    assert state.record(node(-1).address) is None
    assert len(lab.machines()) == 1
    later = replace(node(0), cluster="world", name="world-compute-0")
    lab.apply(act("boot", later), act("shutdown", replace(moved.resource, running=False)))
    assert {(seen.address, seen.status) for seen in lab.machines()} == {(node(-1).address, "off"), (later.address, "running")}


def test_sigterm_shortens_the_time_limit_of_calls(store, tmp_path):
    release = threading.Event()

    def hang(verb, address):
        if verb == "allocate":
            os.kill(os.getpid(), signal.SIGTERM)
            release.wait(20)

    began = time.monotonic()
    try:
        with (
            applying(store, FakeProvider(before=hang), tmp_path, terminate_limit_s=0.2) as context,
            pytest.raises(InterruptedRunError, match="Stopped by SIGTERM"),
        ):
            apply_plan(plan_for(context.session.state, *bring_up(0)), context)
        assert time.monotonic() - began < 10
    finally:
        release.set()
