"""A part of a plan: what was asked for, with all it needs, and no node left half done."""

import pytest

from pragmaspec.errors import UsageError
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.targets import matches
from pragmaspec.state_model import State
from tests.planning.world import EMPTY, acts, cluster, image, nodes, planned, settled, wanted

STATE = settled(cluster(), cluster("world"))
FRONTEND = STATE.nodes("hello")[0]
ALLOCATION = STATE.record("lab/hello/allocation").resource
IMAGE = STATE.record(f"lab/image/{image().digest[:16]}").resource


def part(*clusters: object, state: State = EMPTY, version: str = "", **asked: tuple[str, ...]) -> Plan:
    return planned(wanted(*clusters, images=(image(version=version),)), state, request=PlanRequest(**asked))


@pytest.mark.parametrize(
    "pattern",
    [
        "lab/hello/node/hello-frontend",
        "lab",
        "lab/",
        "lab/hello",
        "lab/hello/node",
        "hello",
        "hello-frontend",
        "hello-*",
        "l?b/*/node/*",
    ],
)
def test_a_node_is_meant_by_its_address_a_leading_part_its_names_or_a_pattern(pattern: str) -> None:
    assert matches(pattern, FRONTEND)


@pytest.mark.parametrize("pattern", ["la", "lab/hell", "frontend", "lab/world", "hello-compute-0", ""])
def test_nothing_else_means_it(pattern: str) -> None:
    assert not matches(pattern, FRONTEND)


def test_images_and_allocations_have_names_too() -> None:
    assert matches("debian-12", IMAGE)
    assert matches("lab/image", IMAGE)
    assert not matches("hello", IMAGE)
    assert matches("hello", ALLOCATION)
    assert matches("lab/hello/allocation", ALLOCATION)
    assert not matches("hello-frontend", ALLOCATION)


def test_a_target_brings_what_it_needs_and_nothing_more() -> None:
    plan = part(cluster(), cluster("world"), targets=("hello-compute-1",))
    assert acts(plan) == ["stage debian-12", "allocate hello", "boot hello-compute-1"]
    assert plan.partial


def test_an_excluded_cluster_is_left_out() -> None:
    plan = part(cluster(computes=0), cluster("world"), exclude=("world",))
    assert acts(plan) == ["stage debian-12", "allocate hello", "boot hello-frontend"]


def test_what_needs_something_excluded_is_left_out_whole() -> None:
    assert part(cluster(), cluster("world"), exclude=("debian-12",)).actions[0].verb == "allocate"
    assert part(
        cluster(), cluster("world"), state=STATE, version="2", exclude=(f"lab/image/{image(version='2').digest[:16]}",)
    ).empty


def test_no_node_is_shut_down_whose_boot_is_left_out() -> None:
    larger = nodes(2, memory_mib=2048)
    plan = part(
        cluster(frontend=nodes(1, memory_mib=2048), computes=larger), cluster("world"), state=STATE, targets=("hello-frontend",)
    )
    assert acts(plan) == ["shutdown hello-frontend", "boot hello-frontend"]
    assert plan.actions[0].after == ()


def test_the_order_between_nodes_that_stay_is_kept() -> None:
    plan = part(
        cluster(frontend=nodes(1, memory_mib=2048), computes=nodes(2, memory_mib=2048)),
        cluster("world"),
        state=STATE,
        exclude=("hello-compute-0",),
    )
    assert plan.actions[0].after == ("shutdown lab/hello/node/hello-compute-1",)


def test_an_allocation_stays_while_a_node_on_it_stays() -> None:
    plan = part(cluster("world"), state=STATE, exclude=("hello-compute-0",))
    assert acts(plan) == ["shutdown hello-compute-1", "clean hello-compute-1", "shutdown hello-frontend", "clean hello-frontend"]


def test_an_image_that_is_targeted_for_cleaning_brings_the_nodes_that_use_it() -> None:
    plan = part(state=STATE, targets=("debian-12",))
    assert len([each for each in plan.actions if each.verb == "clean"]) == 7


def test_target_and_exclude_work_together() -> None:
    assert acts(part(cluster(), cluster("world"), targets=("hello",), exclude=("hello-compute-*",))) == [
        "stage debian-12",
        "allocate hello",
        "boot hello-frontend",
    ]


def test_a_typing_error_is_not_no_changes() -> None:
    with pytest.raises(UsageError) as caught:
        part(cluster(), targets=("helo", "hello"), exclude=("wrold",))
    assert [problem.detail.partition(" matches")[0] for problem in caught.value.problems] == [
        "`--target helo`",
        "`--exclude wrold`",
    ]
    assert part(cluster("world"), state=STATE, targets=("hello-compute-0",)).actions
