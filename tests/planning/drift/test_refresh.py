"""What changed behind our back is found, said, and repaired, and nothing else is touched."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.drift.refresh import RefreshedState, refreshed_state
from pragmaspec.planning.observed import Observations, ObservedAllocation
from pragmaspec.planning.plan import Plan
from pragmaspec.site import LibvirtSite
from pragmaspec.state_model import State
from tests.planning.world import acts, applied, cluster, observed, planned, seen, settled, wanted

HELLO = settled(cluster())
ALLOCATION = "lab/hello/allocation"


def repaired(sight: Observations, state: State = HELLO, **asked: object) -> Plan:
    return planned(wanted(cluster(**asked)), state, observations={"lab": sight})


def off() -> State:
    return applied(planned(wanted(cluster(running=False)), HELLO), HELLO)


def test_a_site_that_is_as_recorded_has_no_drift() -> None:
    assert refreshed_state(HELLO, {"lab": observed(HELLO)}) == RefreshedState(HELLO, frozenset(), ())


def test_a_site_that_was_not_asked_is_taken_to_be_as_recorded() -> None:
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
def test_a_node_that_is_otherwise_is_repaired_and_only_that(
    found: dict[str, object], kind: str, detail: str, done: list[str]
) -> None:
    plan = repaired(seen(HELLO, "hello-compute-1", **found))
    assert [(drift.address, drift.kind, drift.detail) for drift in plan.drift] == [
        ("lab/hello/node/hello-compute-1", kind, detail)
    ]
    assert acts(plan) == done
    assert {action.reason for action in plan.actions} == {detail}
    assert planned(wanted(cluster()), applied(plan, HELLO)).empty


def test_another_build_goes_on_with_the_higher_number() -> None:
    plan = repaired(seen(HELLO, "hello-compute-1", generation=2))
    assert [action.generation for action in plan.actions] == [2]
    lost = repaired(seen(HELLO, "hello-compute-1", disk=False))
    assert [action.generation for action in lost.actions] == [0, 0, 1]


def test_a_node_that_somebody_started_is_shut_down() -> None:
    plan = repaired(seen(off(), "hello-compute-1", status="running"), off(), running=False)
    assert [(action.verb, action.reason) for action in plan.actions] == [("shutdown", "is running, recorded as off")]


@pytest.mark.parametrize("found", [{"status": "undefined"}, {"status": "off", "cpus": 7, "memory_mib": 7}])
def test_how_a_node_that_is_off_is_defined_does_not_matter(found: dict[str, object]) -> None:
    plan = repaired(seen(off(), "hello-compute-1", **found), off(), running=False)
    assert (plan.actions, plan.drift) == ((), ())


def test_a_node_that_shall_be_off_does_not_start_with_its_host_either() -> None:
    asked = {"running": False, "autostart": True}
    state = applied(planned(wanted(cluster(**asked)), off()), off())
    assert not any(node.autostart for node in state.nodes())
    plan = repaired(seen(state, "hello-compute-1", autostart=True), state, **asked)
    assert [(action.verb, action.impact) for action in plan.actions] == [("update", "live")]
    assert plan.actions[0].resource == state.record("lab/hello/node/hello-compute-1").resource


def test_what_somebody_did_as_the_spec_now_says_is_only_written_down() -> None:
    sight = observed(off())
    plan = repaired(sight, HELLO, running=False)
    assert {action.verb for action in plan.actions} == {"record"}
    after = applied(plan, HELLO)
    again = planned(wanted(cluster(running=False)), after, observations={"lab": sight})
    assert (again.actions, again.drift) == ((), ())


def test_what_was_begun_is_not_called_drift() -> None:
    record = HELLO.record("lab/hello/node/hello-compute-1")
    assert record is not None
    state = HELLO.with_record(replace(record, status="pending"))
    plan = repaired(seen(state, "hello-compute-1"), state)
    assert plan.drift == ()
    assert [(action.verb, action.reason) for action in plan.actions] == [("boot", "unfinished")]


def test_an_image_that_is_gone_is_staged_again() -> None:
    plan = repaired(replace(observed(HELLO), images=()))
    assert [(action.verb, action.reason) for action in plan.actions] == [("stage", "is gone from the site")]


def test_a_lost_public_address_is_claimed_again() -> None:
    granted = ObservedAllocation(address=ALLOCATION, networks=("private",))
    plan = repaired(replace(observed(HELLO), allocations=(granted,)))
    assert [(action.verb, action.reason) for action in plan.actions] == [("allocate", "has lost public address 192.168.122.10")]


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        ((ObservedAllocation(address=ALLOCATION, public=("192.168.122.10",)),), "has lost network private"),
        ((), "is gone from the site"),
    ],
)
def test_a_lost_network_is_made_again_and_running_nodes_are_plugged_into_it(
    left: tuple[ObservedAllocation, ...], reason: str
) -> None:
    plan = repaired(replace(observed(HELLO), allocations=left))
    allocate, *others = plan.actions
    assert (allocate.verb, allocate.reason) == ("allocate", reason)
    assert {(action.verb, action.reason, action.impact) for action in others} == {
        (verb, "is cut off: network private is lost", "reboot") for verb in ("shutdown", "boot")
    }
    assert all(allocate.key in action.after for action in others if action.verb == "boot")
    assert planned(wanted(cluster()), applied(plan, HELLO)).empty


def test_nodes_that_are_off_are_plugged_in_when_they_run() -> None:
    plan = repaired(replace(observed(off()), allocations=()), off(), running=False)
    assert acts(plan) == ["allocate hello"]


def test_bridges_of_the_host_are_not_ours_to_lose() -> None:
    sites = (LibvirtSite(name="lab", bridge="br{vlan}"),)
    state = settled(cluster(), sites=sites)
    granted = ObservedAllocation(address=ALLOCATION, public=("192.168.122.10",))
    plan = planned(wanted(cluster(), sites=sites), state, observations={"lab": replace(observed(state), allocations=(granted,))})
    assert acts(plan) == ["allocate hello"]


def test_what_carries_our_marks_but_is_not_recorded_is_told_and_left_alone() -> None:
    sight = observed(settled(cluster(computes=3)))
    plan = repaired(replace(sight, allocations=(*sight.allocations, ObservedAllocation(address="lab/old/allocation"))))
    assert plan.empty
    assert [(drift.kind, drift.address) for drift in plan.drift] == [
        ("unrecorded", "lab/hello/node/hello-compute-2"),
        ("unrecorded", "lab/old/allocation"),
    ]


def test_what_is_not_recorded_but_wanted_is_adopted_without_a_word() -> None:
    plan = repaired(observed(settled(cluster(computes=3))), HELLO, computes=3)
    assert "boot hello-compute-2" in acts(plan)
    assert plan.drift == ()


def test_a_node_whose_network_was_started_anew_is_plugged_in_again() -> None:
    address = "lab/hello/node/hello-compute-1"
    mac = HELLO.record(address).resource.nic("private").mac
    plan = repaired(seen(HELLO, "hello-compute-1", unplugged=(mac.lower(),)))
    assert [(drift.address, drift.detail) for drift in plan.drift] == [
        (address, "is cut off: network private was restarted under it")
    ]
    assert [(action.verb, action.impact) for action in plan.actions] == [("shutdown", "reboot"), ("boot", "reboot")]
