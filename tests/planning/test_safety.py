"""What a plan may not do unless it is allowed by name."""

import pytest

from pragmaspec.planning.safety import ALLOWANCES, refusals
from tests.planning.world import cluster, image, planned, seen, settled, wanted

HELLO = settled(cluster())
PROTECTED = settled(cluster(protect=True))
REBUILD = planned(wanted(cluster(), images=(image(version="2"),)), HELLO)
REMOVAL = planned(wanted(), HELLO)
PROTECTED_REMOVAL = planned(wanted(), PROTECTED)


def test_a_plan_that_loses_nothing_needs_no_permission() -> None:
    for plan in (
        planned(wanted(cluster())),
        planned(wanted(cluster(computes=4)), HELLO),
        planned(wanted(cluster(running=False)), HELLO),
    ):
        assert refusals(plan, frozenset()) == ()


def test_a_rebuild_is_refused_with_the_nodes_and_what_to_say() -> None:
    (problem,) = refusals(REBUILD, frozenset({"data-loss", "protected"}))
    assert problem.summary == "The plan rebuilds nodes"
    assert problem.detail == (
        "hello-frontend, hello-compute-0 and hello-compute-1: rebuilt from the image; the data on the disk is lost. "
        "Pass `--allow rebuild` if this is intended."
    )
    assert refusals(REBUILD, frozenset({"rebuild"})) == ()


def test_a_removal_is_refused_and_many_nodes_are_counted() -> None:
    (problem,) = refusals(planned(wanted(), settled(cluster(computes=20))), frozenset({"rebuild"}))
    assert problem.summary == "The plan removes nodes"
    assert (
        "hello-compute-17 and 18 more: removed together with the disk. Pass `--allow data-loss` if this is intended."
        in problem.detail
    )
    assert refusals(REMOVAL, frozenset({"data-loss"})) == ()


def test_protection_counts_as_it_was_recorded_and_names_the_allocation_too() -> None:
    (problem,) = refusals(PROTECTED_REMOVAL, frozenset({"data-loss"}))
    assert problem.summary == "The plan removes protected resources"
    assert "lab/hello/allocation" in problem.detail
    assert "Set `protect: false` and apply that first" in problem.detail
    assert refusals(PROTECTED_REMOVAL, frozenset(ALLOWANCES)) == ()


def test_a_protected_cluster_may_still_grow_and_reboot() -> None:
    assert refusals(planned(wanted(cluster(protect=True, computes=3)), PROTECTED), frozenset()) == ()


def test_a_protected_cluster_is_not_rebuilt_by_permission_to_rebuild() -> None:
    plan = planned(wanted(cluster(protect=True), images=(image(version="2"),)), PROTECTED)
    assert [problem.summary for problem in refusals(plan, frozenset({"rebuild"}))] == ["The plan removes protected resources"]


def test_all_refusals_come_at_once() -> None:
    plan = planned(wanted(cluster(computes=1), images=(image(version="2"),)), PROTECTED)
    assert len(refusals(plan, frozenset())) == 3


@pytest.mark.parametrize("allowed", [(), ("rebuild",)])
def test_forgetting_what_is_gone_already_loses_nothing(allowed: tuple[str, ...]) -> None:
    plan = planned(wanted(cluster(computes=1)), HELLO, observations={"lab": seen(HELLO, "hello-compute-1")})
    assert refusals(plan, frozenset(allowed)) == ()
