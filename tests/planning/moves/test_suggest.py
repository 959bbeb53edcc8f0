"""Suggestions of `moved:` entries."""

from msgspec.structs import replace

from pragmaspec.planning.request import PlanRequest
from pragmaspec.report.plan.text import plan_text
from tests.planning.builders import LAB, applied_state, cluster, planned, wanted

HELLO = applied_state(cluster())
HALL = replace(LAB, name="hall")


def test_probable_rename_is_suggested() -> None:
    plan = planned(wanted(cluster("world")), HELLO)
    assert [(move.before, move.after) for move in plan.likely_moves] == [("hello", "world")]
    assert "    - {from: hello, to: world}\n" in plan_text(plan, width=80, colour=False)
    assert planned(wanted(cluster("world", computes=5)), HELLO).likely_moves == (), "another shape"
    assert planned(wanted(cluster(), cluster("world")), HELLO).likely_moves == (), "nothing goes"
    assert planned(wanted(), HELLO).likely_moves == (), "nothing comes"
    assert planned(wanted(cluster("world")), HELLO, request=PlanRequest(targets=("world",))).likely_moves == ()


def test_each_new_cluster_is_suggested_once() -> None:
    state = applied_state(cluster("a", computes=0), cluster("b", computes=0))
    plan = planned(wanted(cluster("c", computes=0)), state)
    assert [(move.before, move.after) for move in plan.likely_moves] == [("a", "c")]


def test_probable_rename_of_a_site_is_suggested() -> None:
    plan = planned(wanted(cluster(site="hall"), sites=(HALL,)), HELLO)
    assert [(move.before, move.after, move.kind) for move in plan.likely_moves] == [("lab", "hall", "site")]
    elsewhere = replace(HALL, uri="qemu+ssh://root@hall/system")
    assert planned(wanted(cluster(site="hall"), sites=(elsewhere,)), HELLO).likely_moves == ()
