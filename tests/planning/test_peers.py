"""Cluster members known to guests after partial plans."""

import pytest

from pragmaspec.planning.request import PlanRequest
from tests.planning.builders import EMPTY, applied, applied_state, cluster, nodes, planned, wanted


def test_next_whole_plan_updates_guests_of_a_partial_one() -> None:
    whole = wanted(cluster(computes=2))
    part = applied(planned(whole, EMPTY, request=PlanRequest(targets=("hello-frontend",))), EMPTY)
    rest = planned(whole, part)
    assert [action.key for action in rest.actions] == [
        "update lab/hello/node/hello-frontend",
        "boot lab/hello/node/hello-compute-0",
        "boot lab/hello/node/hello-compute-1",
    ]
    assert planned(whole, applied(rest, part)).empty


def test_node_whose_removal_is_not_selected_stays_a_member() -> None:
    before = applied_state(cluster(computes=2))
    fewer = wanted(cluster(computes=1))
    part = planned(fewer, before, request=PlanRequest(targets=("hello-frontend",)))
    after = applied(part, before)
    assert {action.address for action in planned(fewer, after).actions} >= {"lab/hello/node/hello-compute-1"}


def test_selected_removal_updates_the_members() -> None:
    before = applied_state(cluster(computes=2))
    fewer = wanted(cluster(computes=1))
    whole = applied(planned(fewer, before), before)
    every = planned(fewer, before, request=PlanRequest(targets=("hello",)))
    assert applied(every, before) == whole


def test_members_are_unchanged_by_other_changes() -> None:
    before = applied_state(cluster(computes=2))
    larger = wanted(cluster(computes=nodes(2, memory_mib=2048)))
    (down, up) = planned(larger, before, request=PlanRequest(targets=("hello-compute-0",))).actions
    assert (down.verb, up.verb) == ("shutdown", "boot")
    assert up.resource.peers == before.record("lab/hello/node/hello-compute-0").resource.peers


@pytest.mark.parametrize(
    "request_",
    [
        PlanRequest(exclude=("hello-compute-1",)),
        PlanRequest(targets=("hello-compute-0",)),
        PlanRequest(targets=("hello",), exclude=("hello-frontend",)),
    ],
)
def test_a_repeated_partial_plan_is_empty(request_: PlanRequest) -> None:
    whole = wanted(cluster(computes=2))
    part = applied(planned(whole, EMPTY, request=request_), EMPTY)
    assert planned(whole, part, request=request_).empty
    rest = planned(whole, part)
    assert planned(whole, applied(rest, part)).empty


def test_other_changes_of_members_that_are_known_remain() -> None:
    whole = wanted(cluster(computes=2))
    request = PlanRequest(exclude=("hello-compute-1",))
    part = applied(planned(whole, EMPTY, request=request), EMPTY)
    protected = wanted(cluster(computes=2, protect=True))
    assert {action.address for action in planned(protected, part, request=request).actions} == {
        "lab/hello/allocation",
        "lab/hello/node/hello-frontend",
        "lab/hello/node/hello-compute-0",
    }
