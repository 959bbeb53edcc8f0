"""Refusals of plans without consent."""

import pytest

from pragmaspec.planning.safety import ALLOWANCES, refusals
from tests.planning.builders import applied_state, cluster, image, observed_with, planned, wanted

HELLO = applied_state(cluster())
PROTECTED = applied_state(cluster(protect=True))
REBUILD = planned(wanted(cluster(), images=(image(version="2"),)), HELLO)
REMOVAL = planned(wanted(), HELLO)
PROTECTED_REMOVAL = planned(wanted(), PROTECTED)


def test_plan_without_losses_is_not_refused() -> None:
    for plan in (
        planned(wanted(cluster())),
        planned(wanted(cluster(computes=4)), HELLO),
        planned(wanted(cluster(running=False)), HELLO),
    ):
        assert refusals(plan, frozenset()) == ()


def test_rebuild_is_refused_with_the_option() -> None:
    (problem,) = refusals(REBUILD, frozenset({"data-loss", "protected"}))
    assert problem.summary == "The plan rebuilds nodes"
    assert problem.detail == (
        "hello-frontend, hello-compute-0 and hello-compute-1: rebuilt from the image; the data on the disk is lost. "
        "Pass `--allow rebuild` if this is intended."
    )
    assert refusals(REBUILD, frozenset({"rebuild"})) == ()


def test_removal_is_refused_with_the_number_of_nodes() -> None:
    (problem,) = refusals(planned(wanted(), applied_state(cluster(computes=20))), frozenset({"rebuild"}))
    assert problem.summary == "The plan removes nodes"
    assert (
        "hello-compute-17 and 18 more: removed together with the disk. Pass `--allow data-loss` if this is intended."
        in problem.detail
    )
    assert refusals(REMOVAL, frozenset({"data-loss"})) == ()


def test_recorded_protection_counts_also_for_allocations() -> None:
    (problem,) = refusals(PROTECTED_REMOVAL, frozenset({"data-loss"}))
    assert problem.summary == "The plan removes protected resources"
    assert "lab/hello/allocation" in problem.detail
    assert "Set `protect: false` and apply that first" in problem.detail
    assert refusals(PROTECTED_REMOVAL, frozenset(ALLOWANCES)) == ()


def test_protected_cluster_can_grow_and_reboot() -> None:
    assert refusals(planned(wanted(cluster(protect=True, computes=3)), PROTECTED), frozenset()) == ()


def test_allowing_rebuilds_does_not_allow_protected_nodes() -> None:
    plan = planned(wanted(cluster(protect=True), images=(image(version="2"),)), PROTECTED)
    assert [problem.summary for problem in refusals(plan, frozenset({"rebuild"}))] == ["The plan removes protected resources"]


def test_all_refusals_are_reported_at_once() -> None:
    plan = planned(wanted(cluster(computes=1), images=(image(version="2"),)), PROTECTED)
    assert len(refusals(plan, frozenset())) == 3


@pytest.mark.parametrize("allowed", [(), ("rebuild",)])
def test_forgetting_a_missing_node_is_not_refused(allowed: tuple[str, ...]) -> None:
    plan = planned(wanted(cluster(computes=1)), HELLO, observations={"lab": observed_with(HELLO, "hello-compute-1")})
    assert refusals(plan, frozenset(allowed)) == ()
