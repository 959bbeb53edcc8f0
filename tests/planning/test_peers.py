"""A plan for a part of a cluster tells its guests only of what is there, and the next whole plan tells them the rest."""

from pragmaspec.planning.request import PlanRequest
from tests.planning.world import EMPTY, applied, cluster, nodes, planned, settled, wanted


def test_the_rest_is_told_by_the_next_whole_plan() -> None:
    whole = wanted(cluster(computes=2))
    part = applied(planned(whole, EMPTY, request=PlanRequest(targets=("hello-frontend",))), EMPTY)
    rest = planned(whole, part)
    assert [action.key for action in rest.actions] == [
        "update lab/hello/node/hello-frontend",
        "boot lab/hello/node/hello-compute-0",
        "boot lab/hello/node/hello-compute-1",
    ]
    assert planned(whole, applied(rest, part)).empty


def test_leaving_out_a_removal_leaves_its_node_known() -> None:
    before = settled(cluster(computes=2))
    fewer = wanted(cluster(computes=1))
    part = planned(fewer, before, request=PlanRequest(targets=("hello-frontend",)))
    after = applied(part, before)
    assert {action.address for action in planned(fewer, after).actions} >= {"lab/hello/node/hello-compute-1"}


def test_a_removal_that_is_done_is_told() -> None:
    before = settled(cluster(computes=2))
    fewer = wanted(cluster(computes=1))
    whole = applied(planned(fewer, before), before)
    every = planned(fewer, before, request=PlanRequest(targets=("hello",)))
    assert applied(every, before) == whole


def test_what_is_not_about_members_stays_as_it_was() -> None:
    before = settled(cluster(computes=2))
    larger = wanted(cluster(computes=nodes(2, memory_mib=2048)))
    (down, up) = planned(larger, before, request=PlanRequest(targets=("hello-compute-0",))).actions
    assert (down.verb, up.verb) == ("shutdown", "boot")
    assert up.resource.peers == before.record("lab/hello/node/hello-compute-0").resource.peers
