import pytest

from pragmaspec.errors import PlanError, UsageError
from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.safety import refusals
from pragmaspec.planning.wanted import Move
from tests.planning.builders import (
    action,
    action_names,
    applied,
    applied_state,
    cluster,
    image,
    nodes,
    observed_with,
    planned,
    wanted,
)

HELLO = applied_state(cluster())
ANEW = ["shutdown", "clean", "boot"]


def _request(*replace: str, **more: tuple[str, ...]) -> PlanRequest:
    return PlanRequest(replace=replace, **more)


@pytest.mark.parametrize("pattern", ["hello-compute-0", "lab/hello/node/hello-compute-0", "*-compute-0"])
def test_requested_replacement_rebuilds_an_unchanged_node(pattern: str) -> None:
    plan = planned(wanted(cluster()), HELLO, request=_request(pattern))
    assert action_names(plan) == [f"{verb} hello-compute-0" for verb in ANEW]
    assert {each.reason for each in plan.actions} == {"requested"}
    assert action(plan, "boot hello-compute-0").generation == 1
    assert planned(wanted(cluster()), applied(plan, HELLO)).empty


def test_replaced_nodes_need_no_other_consent() -> None:
    plan = planned(wanted(cluster(), images=(image(version="2"),)), HELLO, request=_request("hello-compute-0"))
    (refused,) = refusals(plan, frozenset())
    assert "hello-compute-0" not in refused.detail
    assert refusals(planned(wanted(cluster()), HELLO, request=_request("hello")), frozenset()) == ()


def test_replacing_a_protected_node_needs_consent() -> None:
    state = applied_state(cluster(protect=True))
    (refused,) = refusals(planned(wanted(cluster(protect=True)), state, request=_request("hello-frontend")), frozenset())
    assert "--allow protected" in refused.detail


def test_the_reason_of_a_replacement_is_the_request() -> None:
    plan = planned(wanted(cluster(frontend=nodes(1, memory_mib=2048))), HELLO, request=_request("hello-frontend"))
    assert action(plan, "boot hello-frontend").reason == "requested"


def test_replaced_nodes_are_targets() -> None:
    grown = wanted(cluster(computes=3), cluster("world"))
    plan = planned(grown, HELLO, request=_request("hello-compute-0", targets=("hello-compute-2",)))
    assert {each.resource.name for each in plan.actions} == {"hello-compute-0", "hello-compute-2"}


def test_new_and_missing_nodes_are_only_booted() -> None:
    plan = planned(wanted(cluster(computes=3)), HELLO, request=_request("hello-compute-2", targets=("hello-compute-2",)))
    assert action_names(plan) == ["boot hello-compute-2"]
    gone = {"lab": observed_with(HELLO, "hello-compute-0")}
    assert action_names(planned(wanted(cluster()), HELLO, observations=gone, request=_request("hello-compute-0"))) == [
        "boot hello-compute-0"
    ]


def test_replaced_renamed_node_gets_the_identity_of_its_new_name() -> None:
    state = moved_state(HELLO, (Move(before="hello", after="world"),))
    plan = planned(wanted(cluster("world")), state, request=_request("world-compute-0"))
    booted = action(plan, "boot world-compute-0").resource
    assert booted.nics[0].mac != HELLO.record("lab/hello/node/hello-compute-0").resource.nics[0].mac


def test_pattern_without_a_match_is_refused() -> None:
    with pytest.raises(UsageError, match="`--replace hello-compute-9` matches no node") as caught:
        planned(wanted(cluster()), HELLO, request=_request("hello-compute-9", "xyz"))
    assert [("Did you mean" in each.detail) for each in caught.value.problems] == [True, False]
    with pytest.raises(UsageError, match="both --replace and --exclude match"):
        planned(wanted(cluster()), HELLO, request=_request("hello", exclude=("hello-frontend",)))


def test_nodes_that_are_off_or_removed_cannot_be_replaced() -> None:
    with pytest.raises(PlanError, match="hello-frontend should be off"):
        planned(wanted(cluster(running=False)), HELLO, request=_request("hello-frontend"))
    with pytest.raises(PlanError, match="hello-compute-1 is no longer wanted"):
        planned(wanted(cluster(computes=1)), HELLO, request=_request("hello-compute-1"))
    assert "clean hello-compute-1" in action_names(planned(wanted(cluster(computes=1)), HELLO, request=_request("hello")))
