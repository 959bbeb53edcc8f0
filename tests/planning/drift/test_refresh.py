"""Drift is found, reported and repaired, and nothing else changes."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.drift.refresh import RefreshedState, refreshed_state
from pragmaspec.planning.observed import Observations, ObservedAllocation
from pragmaspec.planning.plan import Plan
from pragmaspec.site import LibvirtSite
from pragmaspec.state_model import State
from tests.planning.builders import action_names, applied, applied_state, cluster, observed, observed_with, planned, wanted

HELLO = applied_state(cluster())
ALLOCATION = "lab/hello/allocation"


def repaired(seen: Observations, state: State = HELLO, **asked: object) -> Plan:
    return planned(wanted(cluster(**asked)), state, observations={"lab": seen})


def off() -> State:
    return applied(planned(wanted(cluster(running=False)), HELLO), HELLO)


def test_matching_site_has_no_drift() -> None:
    assert refreshed_state(HELLO, {"lab": observed(HELLO)}) == RefreshedState(HELLO, frozenset(), ())


def test_unobserved_site_has_no_drift() -> None:
    assert refreshed_state(HELLO, {}) == RefreshedState(HELLO, frozenset(), ())


@pytest.mark.parametrize(
    ("found", "kind", "detail", "done"),
    [
        ({}, "gone", "is gone from the site", ["boot hello-compute-1"]),
        (
            {"status": "undefined"},
            "undefined",
            "is no longer defined at the site; its disk exists",
            ["boot hello-compute-1"],
        ),
        ({"status": "off"}, "off", "is off, recorded as running", ["boot hello-compute-1"]),
        (
            {"cpus": 4, "memory_mib": 512},
            "changed",
            "has 4 cpus and 512 MiB, recorded 1 cpu and 1024 MiB",
            ["shutdown hello-compute-1", "boot hello-compute-1"],
        ),
        ({"autostart": True}, "changed", "starts with its host, recorded as not to", ["update hello-compute-1"]),
        (
            {"disk": False},
            "disk-gone",
            "has lost its disk",
            ["shutdown hello-compute-1", "clean hello-compute-1", "boot hello-compute-1"],
        ),
        (
            {"generation": 2},
            "changed",
            "is a different build of the node (generation 2, recorded 0)",
            ["boot hello-compute-1"],
        ),
    ],
)
def test_drift_of_a_node_is_repaired(found: dict[str, object], kind: str, detail: str, done: list[str]) -> None:
    plan = repaired(observed_with(HELLO, "hello-compute-1", **found))
    assert [(drift.address, drift.kind, drift.detail) for drift in plan.drift] == [
        ("lab/hello/node/hello-compute-1", kind, detail)
    ]
    assert action_names(plan) == done
    assert {action.reason for action in plan.actions} == {detail}
    assert planned(wanted(cluster()), applied(plan, HELLO)).empty


def test_different_build_continues_with_the_higher_generation() -> None:
    plan = repaired(observed_with(HELLO, "hello-compute-1", generation=2))
    assert [action.generation for action in plan.actions] == [2]
    lost = repaired(observed_with(HELLO, "hello-compute-1", disk=False))
    assert [action.generation for action in lost.actions] == [0, 0, 1]


def test_node_that_should_be_off_is_shut_down() -> None:
    plan = repaired(observed_with(off(), "hello-compute-1", status="running"), off(), running=False)
    assert [(action.verb, action.reason) for action in plan.actions] == [("shutdown", "is running, recorded as off")]


@pytest.mark.parametrize("found", [{"status": "undefined"}, {"status": "off", "cpus": 7, "memory_mib": 7}])
def test_definition_of_a_stopped_node_is_no_drift(found: dict[str, object]) -> None:
    plan = repaired(observed_with(off(), "hello-compute-1", **found), off(), running=False)
    assert (plan.actions, plan.drift) == ((), ())


def test_node_that_should_be_off_loses_autostart() -> None:
    asked = {"running": False, "autostart": True}
    state = applied(planned(wanted(cluster(**asked)), off()), off())
    assert not any(node.autostart for node in state.nodes())
    plan = repaired(observed_with(state, "hello-compute-1", autostart=True), state, **asked)
    assert [(action.verb, action.impact) for action in plan.actions] == [("update", "live")]
    assert plan.actions[0].resource == state.record("lab/hello/node/hello-compute-1").resource


def test_drift_that_matches_the_spec_is_only_recorded() -> None:
    seen = observed(off())
    plan = repaired(seen, HELLO, running=False)
    assert {action.verb for action in plan.actions} == {"record"}
    after = applied(plan, HELLO)
    again = planned(wanted(cluster(running=False)), after, observations={"lab": seen})
    assert (again.actions, again.drift) == ((), ())


def test_missing_pending_node_is_no_drift() -> None:
    record = HELLO.record("lab/hello/node/hello-compute-1")
    assert record is not None
    state = HELLO.with_record(replace(record, status="pending"))
    plan = repaired(observed_with(state, "hello-compute-1"), state)
    assert plan.drift == ()
    assert [(action.verb, action.reason) for action in plan.actions] == [("boot", "unfinished")]


def test_missing_image_is_staged_again() -> None:
    plan = repaired(replace(observed(HELLO), images=()))
    assert [(action.verb, action.reason) for action in plan.actions] == [("stage", "is gone from the site")]


def test_lost_public_address_is_allocated_again() -> None:
    granted = ObservedAllocation(address=ALLOCATION, networks=("private",))
    plan = repaired(replace(observed(HELLO), allocations=(granted,)))
    assert [(action.verb, action.reason) for action in plan.actions] == [("allocate", "has lost public address 192.168.122.10")]


def test_a_claim_that_took_effect_late_is_released() -> None:
    late = ObservedAllocation(address=ALLOCATION, networks=("private", "storage"), public=("192.168.122.10", "192.168.122.11"))
    plan = repaired(replace(observed(HELLO), allocations=(late,)))
    reason = "still has network storage, public address 192.168.122.11"
    assert [(action.verb, action.reason) for action in plan.actions] == [("allocate", reason)]


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        ((ObservedAllocation(address=ALLOCATION, public=("192.168.122.10",)),), "has lost network private"),
        ((), "is gone from the site"),
    ],
)
def test_lost_network_is_allocated_and_running_nodes_reattached(left: tuple[ObservedAllocation, ...], reason: str) -> None:
    plan = repaired(replace(observed(HELLO), allocations=left))
    allocate, *others = plan.actions
    assert (allocate.verb, allocate.reason) == ("allocate", reason)
    assert {(action.verb, action.reason, action.impact) for action in others} == {
        (verb, "is cut off: network private is lost", "reboot") for verb in ("shutdown", "boot")
    }
    assert all(allocate.key in action.after for action in others if action.verb == "boot")
    assert planned(wanted(cluster()), applied(plan, HELLO)).empty


def test_stopped_nodes_are_not_reattached() -> None:
    plan = repaired(replace(observed(off()), allocations=()), off(), running=False)
    assert action_names(plan) == ["allocate hello"]


def test_missing_host_bridge_does_not_reattach_nodes() -> None:
    sites = (LibvirtSite(name="lab", bridge="br{vlan}"),)
    state = applied_state(cluster(), sites=sites)
    granted = ObservedAllocation(address=ALLOCATION, public=("192.168.122.10",))
    plan = planned(wanted(cluster(), sites=sites), state, observations={"lab": replace(observed(state), allocations=(granted,))})
    assert action_names(plan) == ["allocate hello"]


def test_unrecorded_objects_are_reported_and_kept() -> None:
    seen = observed(applied_state(cluster(computes=3)))
    plan = repaired(replace(seen, allocations=(*seen.allocations, ObservedAllocation(address="lab/old/allocation"))))
    assert plan.empty
    assert [(drift.kind, drift.address) for drift in plan.drift] == [
        ("unrecorded", "lab/hello/node/hello-compute-2"),
        ("unrecorded", "lab/old/allocation"),
    ]


def test_unrecorded_wanted_node_is_adopted() -> None:
    plan = repaired(observed(applied_state(cluster(computes=3))), HELLO, computes=3)
    assert "boot hello-compute-2" in action_names(plan)
    assert plan.drift == ()


def test_node_on_a_restarted_network_is_reattached() -> None:
    address = "lab/hello/node/hello-compute-1"
    mac = HELLO.record(address).resource.nic("private").mac
    plan = repaired(observed_with(HELLO, "hello-compute-1", unplugged=(mac.lower(),)))
    assert [(drift.address, drift.detail) for drift in plan.drift] == [
        (address, "is cut off: network private was restarted under it")
    ]
    assert [(action.verb, action.impact) for action in plan.actions] == [("shutdown", "reboot"), ("boot", "reboot")]
