"""Injected faults: the effect of each kind, and the calls that they match."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.providers.simulated.provider import SimulatedProvider
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.providers.simulated.world_file import WorldLog
from pragmaspec.site import Fault


def test_a_refused_call_has_no_effect(make_stack):
    stack = make_stack(faults=(Fault(call="boot"),)).prepare()
    with pytest.raises(SiteError, match="set to refuse boot") as refusal:
        stack.boot()
    assert not isinstance(refusal.value, SiteUnreachableError)
    assert stack.observed().nodes == ()


@pytest.mark.parametrize("call", ["inventory", "observe", "allocate", "stage", "boot", "shutdown", "clean"])
def test_a_call_with_a_lost_response_has_its_effect(make_stack, call):
    plain = make_stack().prepare()
    if call != "boot":
        plain.boot()
    stack = plain.again(replace(plain.site, faults=(Fault(call=call, kind="lost"),)))
    calls = {
        "inventory": stack.provider.inventory,
        "observe": stack.observed,
        "allocate": stack.allocate,
        "stage": stack.stage,
        "boot": stack.boot,
        "shutdown": lambda: stack.provider.shutdown(stack.node(), stack.mark(stack.node()), 1.0),
        "clean": lambda: stack.provider.clean(stack.node(), stack.mark(stack.node())),
    }
    with pytest.raises(SiteUnreachableError, match="The call may have had an effect"):
        calls[call]()
    after = [node.status for node in plain.observed().nodes]
    assert after == {"shutdown": ["off"], "clean": []}.get(call, ["running"])


def test_a_hanging_call_is_delayed(make_stack):
    stack = make_stack(faults=(Fault(call="boot", kind="hang", delay_s=90),)).prepare()
    before = stack.clock.now()
    stack.boot()
    assert stack.clock.now() - before == 90
    assert [node.status for node in stack.observed().nodes] == ["running"]


def test_an_unready_guest_stays_running(make_stack):
    stack = make_stack(faults=(Fault(call="boot", kind="unready", match="compute-1"),), latency_s=1.0).prepare()
    stack.boot(stack.node(0))
    stack.boot(stack.node(1))
    stack.clock.sleep(100_000)
    assert (stack.stage_of(stack.node(0)), stack.stage_of(stack.node(1))) == ("cloud-init", "running")
    evidence = stack.provider.diagnostics(stack.node(1), stack.mark(stack.node(1)))
    assert "Cannot open root device" in evidence.console[-1]
    assert evidence.lease == ""


def test_an_unready_guest_ignores_the_power_button(make_stack):
    stack = make_stack(faults=(Fault(call="boot", kind="unready"),)).prepare()
    stack.boot()
    before = stack.clock.now()
    stack.provider.shutdown(stack.node(), stack.mark(stack.node()), 30.0)
    assert stack.clock.now() - before == 30
    assert [node.status for node in stack.observed().nodes] == ["off"]


def test_faults_match_addresses(make_stack):
    stack = make_stack(faults=(Fault(call="boot", match="compute-1"),)).prepare()
    stack.boot(stack.node(0))
    with pytest.raises(SiteError, match="refuse boot"):
        stack.boot(stack.node(1))


def test_faults_match_the_nth_call(make_stack):
    stack = make_stack(faults=(Fault(call="boot", nth=2),)).prepare()
    stack.boot(stack.node(0))
    with pytest.raises(SiteError):
        stack.boot(stack.node(1))
    stack.boot(stack.node(1))
    assert len(stack.observed().nodes) == 2


def test_counting_continues_in_the_next_process(make_stack, tmp_path):
    site = make_stack(faults=(Fault(call="inventory", nth=2),)).site
    outcomes = []
    for _ in range(3):
        process = SharedWorld(WorldLog(tmp_path / "site.jsonl", "lab"))  # its own log, as in another process
        try:
            SimulatedProvider(site, world=process).inventory()
            outcomes.append("answered")
        except SiteError:
            outcomes.append("refused")
        process.close()
    assert outcomes == ["answered", "refused", "answered"]


def test_a_changed_fault_counts_from_zero(make_stack):
    stack = make_stack(faults=(Fault(call="boot", nth=2),)).prepare()
    stack.boot()
    changed = stack.again(replace(stack.site, faults=(Fault(call="boot", kind="lost", nth=2),)))
    changed.boot()
    with pytest.raises(SiteUnreachableError):
        changed.boot()
