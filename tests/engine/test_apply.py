import os
import signal
import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.reporter import Reporter
from pragmaspec.errors import (
    ApplyIncompleteError,
    InterruptedRunError,
    PlanRefusedError,
    PragmaspecError,
    SiteConflictError,
    SiteError,
    Where,
)
from pragmaspec.planning.plan import PlannedSite
from pragmaspec.providers.base import Abilities
from pragmaspec.resources import Readiness
from pragmaspec.site import SimulatedSite
from pragmaspec.state_model import Record
from tests.engine.fake_provider import SITE, FakeProvider, PausingProvider, applying, bring_up, plan_for
from tests.state.local_store import LocalStore
from tests.state.samples import ALLOCATION, IMAGE, NO_DEADLINE, act, node


def _signal(number):
    """Send a signal to the process, as a terminal or a supervisor does."""
    os.kill(os.getpid(), number)


class RecordingReporter(Reporter):
    """Records all reports in order."""

    def __init__(self):
        self.lines = []
        self.any_skipped = threading.Event()

    def started(self, action):
        self.lines.append(f"started {action.key}")

    def progress(self, action, doing):
        self.lines.append(f"progress {action.key}: {doing}")

    def finished(self, action):
        self.lines.append(f"finished {action.key}")

    def failed(self, action, error):
        self.lines.append(f"failed {action.key}: {error}")

    def skipped(self, action, because):
        self.lines.append(f"skipped {action.key}: {because}")
        self.any_skipped.set()


def _apply(store, site, actions, tmp_path, reporter=None, **limits):
    with applying(store, site, tmp_path, **limits) as context:
        return apply_plan(plan_for(context.session.state, *actions), context, reporter)


def _statuses(store):
    return {record.address: record.status for record in store.read().records}


def _refusing(*keys, error=None):
    def refuse(verb, address):
        if f"{verb} {address}" in keys:
            raise error or SiteError("no room")

    return refuse


def test_an_apply_brings_a_cluster_up(store, tmp_path):
    site, reporter = FakeProvider(), RecordingReporter()
    actions = bring_up(2)
    applied = _apply(store, site, actions, tmp_path, reporter)
    assert set(applied.done) == {action.key for action in actions}
    assert applied.seconds > 0
    assert set(site.calls[:2]) == {f"stage {IMAGE.address}", f"allocate {ALLOCATION.address}"}
    state = store.read()
    assert {record.resource for record in state.records} == set(site.resources.values())
    assert {record.status for record in state.records} == {"ready"}
    assert state.sites == (SITE,)
    frontend = state.record(node(-1).address)
    assert dict(frontend.outputs)["uuid"]
    assert reporter.lines.index(f"started {actions[2].key}") > reporter.lines.index(f"finished {actions[1].key}")
    assert [line for line in reporter.lines if "transferring" in line] == [
        f"progress {actions[0].key}: transferring 100 B · 0 %",
        f"progress {actions[0].key}: transferring 100 B · 50 %",
        f"progress {actions[0].key}: transferring 100 B · 100 %",
    ]


def test_an_empty_plan_makes_no_calls_and_writes_no_state(store, tmp_path):
    assert _apply(store, FakeProvider(), [], tmp_path).done == ()
    assert not store.exists()


def test_each_wave_costs_two_durable_writes(store, tmp_path):
    with applying(store, FakeProvider(), tmp_path) as context:
        apply_plan(plan_for(context.session.state, *bring_up(10)), context)
        assert context.session.syncs <= 4


def test_concurrent_calls_stay_within_the_site_limit(store, tmp_path):
    gate = threading.Barrier(SITE.parallel, timeout=10)
    met = threading.Event()

    def wait_for_parallel_boots(verb, address):
        if verb == "boot" and not met.is_set():
            gate.wait()
            met.set()

    site = FakeProvider(before=wait_for_parallel_boots)
    _apply(store, site, bring_up(11), tmp_path)
    assert site.most_at_once == SITE.parallel


def test_waiting_for_readiness_does_not_block_other_boots(store, tmp_path):
    site = FakeProvider()
    count = 3 * SITE.parallel
    site.stages = {node(index).name: "running" for index in range(count)}

    def all_booted(verb, address):
        if len(site.running) == count + 1:
            site.stages = {}

    site._after = all_booted
    _apply(store, site, bring_up(count), tmp_path)
    assert set(_statuses(store).values()) == {"ready"}


def test_with_paused_boot_all_machines_are_created_before_any_is_resumed(store, tmp_path):
    site = PausingProvider()
    _apply(store, site, bring_up(9), tmp_path)
    verbs = [call.partition(" ")[0] for call in site.calls]
    assert sorted(verbs[:2]) == ["allocate", "stage"]
    assert verbs[2:] == ["boot"] * 10 + ["resume"] * 10
    assert set(_statuses(store).values()) == {"ready"}
    assert site.running == site.made


def test_a_single_machine_is_not_booted_paused(store, tmp_path):
    site = PausingProvider()
    _apply(store, site, bring_up(0), tmp_path)
    assert (site.made, len(site.running)) == (set(), 1)


def test_a_failed_paused_boot_does_not_block_the_other_machines(store, tmp_path):
    site = PausingProvider(_refusing("boot lab/hello/node/hello-compute-1"))
    with pytest.raises(ApplyIncompleteError):
        _apply(store, site, bring_up(3), tmp_path)
    assert len(site.running) == 3


def test_a_machine_that_cannot_be_resumed_is_recorded_as_pending(store, tmp_path):
    address = "lab/hello/node/hello-compute-1"
    site = PausingProvider(_refusing(f"resume {address}"))
    with pytest.raises(ApplyIncompleteError, match="hello-compute-1"):
        _apply(store, site, bring_up(2), tmp_path)
    assert _statuses(store)[address] == "pending"
    assert len(site.running) == 2


def test_a_signal_resumes_paused_machines_before_the_run_ends(store, tmp_path):
    reporter = RecordingReporter()

    def interrupt(verb, address):
        if verb == "boot" and address.endswith("compute-0"):
            _signal(signal.SIGINT)
        elif verb == "boot":
            reporter.any_skipped.wait(10)

    site = PausingProvider(interrupt)
    with pytest.raises(InterruptedRunError):
        _apply(store, site, bring_up(9), tmp_path, reporter)
    assert 0 < len(site.made) < 10
    assert site.running == site.made


def test_a_failed_node_skips_only_its_dependents(store, tmp_path):
    actions = bring_up(2)
    failing = replace(actions[3], where=Where(file="cluster.yaml", line=12))
    actions[3] = failing
    actions.append(act("update", node(5), failing))
    site, reporter = FakeProvider(before=_refusing(failing.key)), RecordingReporter()
    with pytest.raises(ApplyIncompleteError) as caught:
        _apply(store, site, actions, tmp_path, reporter)
    refused, skipped = caught.value.problems
    assert (refused.summary, refused.detail) == ("no room", "boot hello-compute-0 at site lab: no room")
    assert str(refused.where) == "cluster.yaml:12:1"
    assert skipped.detail == "update hello-compute-5: their dependencies are not done."
    assert f"skipped update {node(5).address}: {failing.key} failed" in reporter.lines
    statuses = _statuses(store)
    assert statuses.pop(node(0).address) == "pending"
    assert set(statuses.values()) == {"ready"}
    assert store.read().record(node(0).address).problem == "no room"


def test_a_site_conflict_error_recommends_a_new_plan(store, tmp_path):
    site = FakeProvider(before=_refusing(f"allocate {ALLOCATION.address}", error=SiteConflictError("taken by x")))
    with pytest.raises(ApplyIncompleteError, match=r"allocate hello at site lab: taken by x Another claim .*pragmaspec plan"):
        _apply(store, site, bring_up(0), tmp_path)
    assert f"boot {node(-1).address}" not in site.calls


def test_a_node_that_misses_its_readiness_timeout_is_degraded(store, tmp_path):
    site, reporter = FakeProvider(), RecordingReporter()
    site.stages = {"hello-compute-0": "address"}
    actions = bring_up(1, readiness=Readiness(when="ssh", timeout_s=1))
    with pytest.raises(ApplyIncompleteError) as caught:
        _apply(store, site, actions, tmp_path, reporter)
    detail = caught.value.problems[0].detail
    assert detail.startswith("boot hello-compute-0 at site lab: waited for ssh: ssh does not answer after 1 s\n")
    assert "domain: running" in detail
    assert "login: \N{REPLACEMENT CHARACTER}[31m" in detail, "control characters of the guest are replaced"
    assert any("waiting for ssh · 0 s" in line for line in reporter.lines)
    record = store.read().record(node(0).address)
    assert (record.status, record.problem) == ("degraded", "waited for ssh: ssh does not answer after 1 s")
    assert dict(record.outputs)["uuid"]
    site.stages = {}
    _apply(store, site, [act("boot", record.resource)], tmp_path)
    assert _statuses(store)[node(0).address] == "ready"


def test_a_failed_frontend_ends_the_readiness_wait_of_its_computes(store, tmp_path):
    site = FakeProvider(before=_refusing(f"boot {node(-1).address}"))
    site.stages = {"hello-compute-0": "running"}
    began = time.monotonic()
    with pytest.raises(ApplyIncompleteError, match="its frontend hello-frontend is not ready"):
        _apply(store, site, bring_up(1), tmp_path)
    assert time.monotonic() - began < 20, "the limit of each stage is 600 s"


def test_a_site_that_fails_while_a_guest_boots_fails_that_node(store, tmp_path):
    class Failing(FakeProvider):
        def guest_stage(self, node, mark):
            if node.role == "frontend":
                raise SiteError("the site does not answer")
            return super().guest_stage(node, mark)

    with pytest.raises(ApplyIncompleteError, match="boot hello-frontend at site lab: the site does not answer"):
        _apply(store, Failing(), bring_up(1), tmp_path)
    assert _statuses(store)[node(-1).address] == "degraded"


def test_a_machine_that_stops_by_itself_ends_its_readiness_wait(store, tmp_path):
    site = FakeProvider()
    site._after = lambda verb, address: site.running.discard(node(0).address)
    with pytest.raises(ApplyIncompleteError, match="its machine has stopped by itself"):
        _apply(store, site, bring_up(1), tmp_path)


def test_cleaning_the_whole_stack_empties_the_site_and_the_state(store, tmp_path):
    site = FakeProvider()
    _apply(store, site, bring_up(1), tmp_path)
    state = store.read()
    down = [act("shutdown", node(index)) for index in (0, -1)]
    cleans = [act("clean", node(index), *down) for index in (0, -1)]
    rest = [act("clean", ALLOCATION, *cleans), act("clean", IMAGE, *cleans)]
    actions = [replace(action, before=action.resource) for action in (*down, *cleans, *rest)]
    _apply(store, site, actions, tmp_path, shutdown_grace_s=7.0)
    assert site.resources == {}
    assert site.graces == [7.0, 7.0]
    after = store.read()
    assert (after.records, after.sites, after.serial) == ((), (), state.serial + 1)


def test_shutdown_and_boot_update_the_recorded_power_state(store, tmp_path):
    site = FakeProvider()
    _apply(store, site, bring_up(0), tmp_path)
    _apply(store, site, [act("shutdown", node(-1, running=False))], tmp_path)
    assert store.read().record(node(-1).address).resource == node(-1, running=False)
    _apply(store, site, [act("boot", node(-1))], tmp_path)
    assert store.read().record(node(-1).address).resource == node(-1)


def test_rebuilding_a_node_increments_its_generation(store, tmp_path):
    site = FakeProvider()
    _apply(store, site, bring_up(0), tmp_path)
    clean = replace(act("clean", node(-1)), before=node(-1))
    _apply(store, site, [clean, replace(act("boot", node(-1), clean, generation=1), before=node(-1))], tmp_path)
    assert store.read().record(node(-1).address).generation == 1
    assert site.generations[node(-1).address] == 1


def test_record_actions_update_the_state_without_site_calls(store, tmp_path):
    site, reporter = FakeProvider(), RecordingReporter()
    _apply(store, site, bring_up(1), tmp_path)
    calls = list(site.calls)
    changed = replace(node(-1), protect=True)
    first = act("record", changed)
    then = act("record", replace(node(0), protect=True), first)
    applied = _apply(store, site, [first, then], tmp_path, reporter)
    assert site.calls == calls
    assert applied.done == (first.key, then.key)
    assert store.read().record(changed.address).resource == changed
    assert reporter.lines == [f"finished {first.key}", f"finished {then.key}"]


def test_a_live_update_is_recorded_and_keeps_the_outputs(store, tmp_path):
    site = FakeProvider()
    _apply(store, site, bring_up(0), tmp_path)
    _apply(store, site, [act("update", node(-1, keys="k2"))], tmp_path)
    record = store.read().record(node(-1).address)
    assert (record.resource.keys, record.status) == ("k2", "ready")
    assert dict(record.outputs)["uuid"], "outputs of the site are kept"


def test_an_unexpected_exception_propagates_and_keeps_all_records(store, tmp_path):
    actions = bring_up(2)
    site = FakeProvider(before=_refusing(actions[3].key, error=ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        _apply(store, site, actions, tmp_path)
    statuses = _statuses(store)
    assert statuses[node(0).address] == "pending"
    assert site.resources.keys() <= statuses.keys()


@pytest.mark.parametrize(
    ("change", "summary"),
    [
        ({"lineage": "00000000-0000-4000-8000-000000000000"}, "The plan belongs to another stack"),
        ({"serial": 9}, "The plan is stale"),
        ({"state_sha256": "00"}, "The plan is stale"),
        ({"spec_sha256": "00"}, "The plan is stale"),
    ],
)
def test_a_stale_plan_is_refused_before_any_call(store, tmp_path, change, summary):
    site = FakeProvider()
    with applying(store, site, tmp_path) as context, pytest.raises(PlanRefusedError) as caught:
        apply_plan(replace(plan_for(context.session.state, *bring_up(1)), **change), context)
    assert [problem.summary for problem in caught.value.problems] == [summary]
    assert site.calls == []
    assert not store.exists()


def test_a_changed_site_identity_is_refused(store, tmp_path):
    site = FakeProvider()
    sites = (
        PlannedSite(site=SITE, identity=site.identity()),
        PlannedSite(site=SimulatedSite(name="b"), identity=site.identity()),
    )
    with applying(store, site, tmp_path) as context:
        plan = plan_for(context.session.state, *bring_up(0), sites=sites)
        site.identity_id = "another host"
        with pytest.raises(PlanRefusedError, match="Site identity changed"):
            apply_plan(plan, context)
        site.identity_id = "fake"
        apply_plan(plan, context)


def test_an_unwritable_journal_prevents_all_site_calls(store, tmp_path):
    site = FakeProvider()
    with applying(store, site, tmp_path) as context:
        plan = plan_for(context.session.state, *bring_up(1))
        store.directory.joinpath("journal.0.jsonl").mkdir()
        with pytest.raises(PragmaspecError, match="The state cannot be written"):
            apply_plan(plan, context)
    assert site.calls == []


def test_a_failed_state_write_prevents_further_actions(store, tmp_path):
    """Running calls end, and their intents are recorded, so the next apply can continue."""
    site, reporter = FakeProvider(), RecordingReporter()
    actions = bring_up(3)
    with applying(store, site, tmp_path) as context:
        session = context.session
        write = session.intend

        def fail_later(wave):
            if any(action.verb == "boot" for action in wave):
                raise PragmaspecError("The state cannot be written")
            write(wave)

        session.intend = fail_later
        with pytest.raises(ApplyIncompleteError, match=r"The state cannot be written.*Not started: boot hello-frontend, "):
            apply_plan(plan_for(session.state, *actions), context, reporter)
    assert not [call for call in site.calls if call.startswith("boot")]
    assert f"skipped {actions[2].key}: the run was stopped" in reporter.lines
    assert {record.status for record in store.read().records} <= {"pending", "ready"}


def test_a_failed_checkpoint_loses_no_records(store, tmp_path):
    site = FakeProvider()
    with applying(store, site, tmp_path) as context:

        def fail():
            raise PragmaspecError("The state cannot be written")

        context.session.checkpoint = fail
        with pytest.raises(ApplyIncompleteError, match="cannot be written"):
            apply_plan(plan_for(context.session.state, *bring_up(1)), context)
    assert {record.status for record in store.read().records} == {"ready"}, "the journal contains the records"


def test_a_queued_call_is_not_recorded_when_a_signal_stops_the_run(store, tmp_path):
    """A site limited to one call at a time is booting the frontend when the signal arrives."""
    narrow, reporter = replace(SITE, parallel=1), RecordingReporter()

    def interrupt(verb, address):
        if verb == "boot":
            _signal(signal.SIGINT)
            reporter.any_skipped.wait(10)

    actions = bring_up(3)
    with applying(store, FakeProvider(before=interrupt), tmp_path) as context, pytest.raises(InterruptedRunError):
        apply_plan(plan_for(context.session.state, *actions, sites=(PlannedSite(site=narrow),)), context, reporter)
    nodes = [record for record in store.read().records if "/node/" in record.address]
    assert [record.address for record in nodes] == [node(-1).address]


def test_a_signal_skips_actions_not_yet_started_and_the_next_apply_completes_them(store, tmp_path):
    site, reporter, first = FakeProvider(), RecordingReporter(), threading.Lock()

    def interrupt(verb, address):
        if verb == "boot" and len(site.running) >= 2:
            if first.acquire(blocking=False):
                _signal(signal.SIGTERM)
            reporter.any_skipped.wait(10)

    actions = bring_up(20)
    last = act("update", node(5), *actions)
    site._after = interrupt
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedRunError, match=r"Stopped by SIGTERM\. Not started: boot hello-compute-\d+, .* and \d+ more"):
        _apply(store, site, [*actions, last], tmp_path, reporter)
    assert signal.getsignal(signal.SIGTERM) is before
    statuses = _statuses(store)
    assert site.resources.keys() <= statuses.keys()
    assert len(statuses) < 22, "actions not yet started are not recorded"
    site._after = lambda verb, address: None
    left = [action for action in actions if statuses.get(action.address) != "ready"]
    _apply(store, site, left, tmp_path)
    assert _statuses(store).keys() == site.resources.keys()
    assert set(_statuses(store).values()) == {"ready"}


def test_a_signal_ends_readiness_waits(store, tmp_path):
    site = FakeProvider()
    site.stages = {"hello-frontend": "running", "hello-compute-0": "ssh"}

    class Once(Reporter):
        seen = False

        def progress(self, action, doing):
            if not self.seen and "waiting" in doing:
                self.seen = True
                _signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="2 operations have an unknown outcome"):
        _apply(store, site, bring_up(1), tmp_path, Once())
    assert {status for address, status in _statuses(store).items() if "/node/" in address} == {"pending"}
    assert all(dict(record.outputs).get("uuid") for record in store.read().records if "/node/" in record.address)


def test_a_hanging_call_is_abandoned_after_the_interrupt_limit(store, tmp_path):
    release = threading.Event()

    def hang(verb, address):
        if verb == "allocate":
            _signal(signal.SIGINT)
            release.wait(20)

    site = FakeProvider(before=hang)
    began = time.monotonic()
    try:
        with pytest.raises(InterruptedRunError, match="1 operation has an unknown outcome"):
            _apply(store, site, bring_up(0), tmp_path, interrupt_limit_s=0.2)
        assert time.monotonic() - began < 10
        assert _statuses(store)[ALLOCATION.address] == "pending"
    finally:
        release.set()


def test_a_second_signal_stops_the_run_immediately(store, tmp_path):
    release, reporter = threading.Event(), RecordingReporter()

    def hang(verb, address):
        if verb == "allocate":
            _signal(signal.SIGINT)
            reporter.any_skipped.wait(10)
            _signal(signal.SIGINT)
            release.wait(20)

    try:
        with pytest.raises(InterruptedRunError, match=r"Stopped immediately.*1 operation has .* resolves it"):
            _apply(store, FakeProvider(before=hang), bring_up(0), tmp_path, reporter)
    finally:
        release.set()
    assert _statuses(store)[ALLOCATION.address] == "pending"


def test_a_second_signal_during_observation_is_not_reported_as_a_site_error(store, tmp_path):
    reporter = RecordingReporter()

    class Slow(FakeProvider):
        def observe(self, lineage, recorded=None):
            _signal(signal.SIGINT)
            _signal(signal.SIGINT)
            return super().observe(lineage, recorded)

    with pytest.raises(InterruptedRunError) as caught:
        _apply(store, Slow(), bring_up(0), tmp_path, reporter)
    (problem,) = caught.value.problems
    assert (problem.summary, problem.detail) == ("Stopped immediately", "No operation was in flight; the next apply continues.")
    assert problem.where is None
    assert not reporter.any_skipped.is_set()
    assert not store.read().records


def test_a_closed_output_stops_the_run_like_a_signal(store, tmp_path):
    class Closed(Reporter):
        def finished(self, action):
            raise BrokenPipeError

    site = FakeProvider()
    site.stages = {"hello-compute-0": "running"}  # never ready, so the run cannot be complete before it stops
    with pytest.raises(InterruptedRunError, match="Stopped by a closed output"):
        _apply(store, site, bring_up(1), tmp_path, Closed())
    assert _statuses(store).keys() >= site.resources.keys()


def test_an_apply_outside_the_main_thread_installs_no_signal_handlers(store, tmp_path):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(_apply(store, FakeProvider(), bring_up(1), tmp_path)))
    thread.start()
    thread.join()
    assert len(seen[0].done) == 4


@settings(NO_DEADLINE, max_examples=60)
@given(
    computes=st.integers(0, 5),
    refused=st.sets(st.integers(0, 8)),
    lost=st.sets(st.integers(0, 8)),
    unready=st.sets(st.integers(0, 5)),
)
def test_a_second_apply_converges_after_arbitrary_failures(tmp_path_factory, computes, refused, lost, unready):
    directory = tmp_path_factory.mktemp("apply")
    store, actions = LocalStore(directory / "state"), bring_up(computes, readiness=Readiness(timeout_s=0))

    def failing(chosen):
        return _refusing(*(action.key for index, action in enumerate(actions) if index in chosen))

    site = FakeProvider(before=failing(refused), after=failing(lost))
    site.stages = {node(index).name: "running" for index in unready}
    with suppress(ApplyIncompleteError):
        _apply(store, site, actions, directory)
    state = store.read()
    assert site.resources.keys() <= {record.address for record in state.records}, "every resource at the site is recorded"
    site._before = site._after = lambda verb, address: None
    site.stages = {}
    ready = {record.address for record in state.records if record.status == "ready"}
    _apply(store, site, [action for action in actions if action.address not in ready], directory)
    assert {record.resource for record in store.read().records} == set(site.resources.values())
    assert {record.status for record in store.read().records} == {"ready"}
    assert len(site.calls) <= 2 * len(actions)


def test_an_apply_of_two_thousand_nodes_finishes_within_six_seconds(store, tmp_path):
    actions = bring_up(2000)
    began = time.monotonic()
    _apply(store, FakeProvider(), actions, tmp_path)
    assert time.monotonic() - began < 6, "about one second on two quiet cores"


def test_each_record_has_an_op(store, tmp_path):
    site = FakeProvider()
    _apply(store, site, bring_up(0), tmp_path)
    record = store.read().record(IMAGE.address)
    assert replace(record, op="") == Record(resource=IMAGE)
    assert len(record.op) == 32


class BootCheckProvider(FakeProvider):
    """A site whose boot check fails."""

    @property
    def abilities(self):
        return Abilities(guest_simulation=self, boot_check=self)

    def check_boot(self, request):
        self.calls.append(f"check {request.node.address}")
        raise SiteError("its image is gone")


def test_a_failed_boot_check_prevents_shutdown_and_clean(store, tmp_path):
    site = BootCheckProvider()
    _apply(store, site, bring_up(0), tmp_path)
    down = replace(act("shutdown", node(-1)), before=node(-1))
    clean = replace(act("clean", node(-1), down), before=node(-1))
    for actions in ([down, clean], [clean]):
        calls = list(site.calls)
        with pytest.raises(ApplyIncompleteError, match="its image is gone"):
            _apply(store, site, [*actions, act("boot", node(-1), clean, generation=1)], tmp_path)
        assert site.calls[len(calls) :] == [f"check {node(-1).address}"]
    assert site.resources
    _apply(store, site, [clean], tmp_path)
    assert node(-1).address not in site.resources


class AutostartProvider(FakeProvider):
    """A site with autostart."""

    @property
    def abilities(self):
        return Abilities(guest_simulation=self, autostart=self)

    def set_autostart(self, node, mark):
        self.calls.append(f"autostart {node.autostart} {node.address}")


def test_an_autostart_change_is_made_at_the_site_only(store, tmp_path):
    site = AutostartProvider()
    _apply(store, site, bring_up(0), tmp_path)
    change = replace(act("update", replace(node(-1), autostart=True)), before=node(-1))
    _apply(store, site, [change], tmp_path)
    assert site.calls[-1] == f"autostart True {node(-1).address}"
    assert store.read().record(node(-1).address).resource.autostart
    both = replace(act("update", node(-1, keys="k2")), before=replace(node(-1), autostart=True))
    _apply(store, site, [both], tmp_path)
    assert site.calls[-1] == f"autostart False {node(-1).address}"
    _apply(store, site, [act("shutdown", replace(node(-1), autostart=True))], tmp_path)
    assert not store.read().record(node(-1).address).resource.autostart
