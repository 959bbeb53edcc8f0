"""Selection of actions by ``--target`` and ``--exclude``."""

import pytest

from pragmaspec.errors import UsageError
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.targets import matches, selected_addresses
from pragmaspec.planning.wanted import WantedCluster, WantedDisk
from pragmaspec.state_model import State
from tests.planning.builders import EMPTY, action_names, applied_state, cluster, image, nodes, planned, wanted

KEPT = WantedDisk(name="home", size_bytes=2**30, mount="/home", keep=True)
STATE = applied_state(cluster(), cluster("world"))
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
def test_node_matches_its_address_prefix_names_and_patterns(pattern: str) -> None:
    assert matches(pattern, FRONTEND)


@pytest.mark.parametrize("pattern", ["la", "lab/hell", "frontend", "lab/world", "hello-compute-0", ""])
def test_node_does_not_match_other_names(pattern: str) -> None:
    assert not matches(pattern, FRONTEND)


def test_images_and_allocations_match_their_names() -> None:
    assert matches("debian-12", IMAGE)
    assert matches("lab/image", IMAGE)
    assert not matches("hello", IMAGE)
    assert matches("hello", ALLOCATION)
    assert matches("lab/hello/allocation", ALLOCATION)
    assert not matches("hello-frontend", ALLOCATION)


def test_target_includes_its_dependencies_only() -> None:
    plan = part(cluster(), cluster("world"), targets=("hello-compute-1",))
    assert action_names(plan) == ["stage debian-12", "allocate hello", "boot hello-compute-1"]
    assert plan.partial


def test_excluded_cluster_has_no_actions() -> None:
    plan = part(cluster(computes=0), cluster("world"), exclude=("world",))
    assert action_names(plan) == ["stage debian-12", "allocate hello", "boot hello-frontend"]


def test_dependents_of_an_exclusion_are_excluded() -> None:
    assert part(cluster(), cluster("world"), exclude=("debian-12",)).actions[0].verb == "allocate"
    assert part(
        cluster(), cluster("world"), state=STATE, version="2", exclude=(f"lab/image/{image(version='2').digest[:16]}",)
    ).empty


def test_shutdown_and_boot_of_a_node_are_selected_together() -> None:
    larger = nodes(2, memory_mib=2048)
    plan = part(
        cluster(frontend=nodes(1, memory_mib=2048), computes=larger), cluster("world"), state=STATE, targets=("hello-frontend",)
    )
    assert action_names(plan) == ["shutdown hello-frontend", "boot hello-frontend"]
    assert plan.actions[0].after == ()


def test_order_of_selected_nodes_is_kept() -> None:
    plan = part(
        cluster(frontend=nodes(1, memory_mib=2048), computes=nodes(2, memory_mib=2048)),
        cluster("world"),
        state=STATE,
        exclude=("hello-compute-0",),
    )
    assert plan.actions[0].after == ("shutdown lab/hello/node/hello-compute-1",)


def test_allocation_of_a_kept_node_is_not_cleaned() -> None:
    plan = part(cluster("world"), state=STATE, exclude=("hello-compute-0",))
    assert action_names(plan) == [
        "shutdown hello-compute-1",
        "clean hello-compute-1",
        "shutdown hello-frontend",
        "clean hello-frontend",
    ]


def test_cleaning_a_targeted_image_includes_its_users() -> None:
    plan = part(state=STATE, targets=("debian-12",))
    assert len([each for each in plan.actions if each.verb == "clean"]) == 7


def test_target_and_exclude_combine() -> None:
    assert action_names(part(cluster(), cluster("world"), targets=("hello",), exclude=("hello-compute-*",))) == [
        "stage debian-12",
        "allocate hello",
        "boot hello-frontend",
    ]


def test_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        part(cluster(), targets=("helo", "hello"), exclude=("wrold",))
    assert [problem.detail.partition(" matches")[0] for problem in caught.value.problems] == [
        "`--target helo`",
        "`--exclude wrold`",
    ]
    assert part(cluster("world"), state=STATE, targets=("hello-compute-0",)).actions


def test_the_addresses_of_a_partial_plan_include_needed_allocations() -> None:
    resources = [record.resource for record in STATE.records]
    scope = frozenset(each.address for each in resources)

    def found(**asked: tuple[str, ...]) -> set[str]:
        return {address.removeprefix("lab/") for address in selected_addresses(resources, scope, PlanRequest(**asked))}

    assert len(found()) == len(scope)
    assert found(targets=("hello-compute-1",)) == {"hello/node/hello-compute-1", "hello/allocation"}
    assert found(targets=("world",)) == {f"world/node/world-{name}" for name in ("frontend", "compute-0", "compute-1")} | {
        "world/allocation"
    }
    assert found(targets=("hello",), exclude=("hello-*",)) == {"hello/allocation"}
    assert "hello/node/hello-frontend" not in found(exclude=("hello-frontend",))
    assert found(targets=("hello-frontend",), replace=("world-frontend",)) >= {"world/node/world-frontend"}
    assert selected_addresses(resources, frozenset(), PlanRequest(targets=("hello",))) == frozenset()


def _waiting() -> WantedCluster:
    return cluster(computes=nodes(1, wait_for=("g",)), groups=(nodes(2, group="g", disks=(KEPT,)),))


def test_nodes_that_a_target_waits_for_are_its_dependencies() -> None:
    plan = part(_waiting(), targets=("hello-compute-0",))
    assert [name for name in action_names(plan) if name.startswith("boot")] == [
        "boot hello-compute-0",
        "boot hello-g-0",
        "boot hello-g-1",
    ]
    assert {"boot lab/hello/node/hello-g-0", "boot lab/hello/node/hello-g-1"} <= set(plan.actions[-3].after)


def test_running_nodes_that_a_target_waits_for_are_left_alone() -> None:
    before = applied_state(cluster(computes=0, groups=(nodes(1, group="g"),)))
    larger = cluster(computes=nodes(1, wait_for=("g",)), groups=(nodes(1, group="g", memory_mib=2048),))
    assert action_names(part(larger, state=before, targets=("hello-compute-0",))) == ["boot hello-compute-0"]


def test_nodes_that_wait_for_an_excluded_node_are_excluded_with_its_volume() -> None:
    plan = part(_waiting(), exclude=("hello-g-1",))
    assert action_names(plan) == [
        "stage debian-12",
        "allocate hello",
        "allocate hello-g-0-home",
        "boot hello-frontend",
        "boot hello-g-0",
    ]


def test_a_target_that_is_excluded_as_a_whole_is_refused() -> None:
    with pytest.raises(UsageError, match="hello-compute-1: --exclude matches all that --target selects"):
        part(cluster(), targets=("hello", "hello-compute-1"), exclude=("hello-compute-*",))
    assert "boot hello-frontend" in action_names(part(cluster(), targets=("hello",), exclude=("hello-compute-*",)))
