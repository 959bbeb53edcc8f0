"""Plans from expanded specs."""

from hashlib import sha256

import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.planner import make_plan, sites_needing_inventory, state_digest
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node
from pragmaspec.state_model import ClosedOp, Record, State
from tests.planning.builders import (
    EMPTY,
    GIB,
    LAB,
    ROOMY,
    action_names,
    applied,
    applied_state,
    cluster,
    image,
    nodes,
    observed,
    planned,
    wanted,
)

HELLO = applied_state(cluster())
TWO = applied_state(cluster(), cluster("world"))


def test_applied_spec_needs_no_changes() -> None:
    assert planned(wanted(cluster()), HELLO).empty


def test_plan_is_bound_to_its_inputs() -> None:
    plan = planned(wanted(cluster(), digest="5" * 64), HELLO)
    assert (plan.lineage, plan.serial, plan.spec_sha256, plan.spec_file) == (HELLO.lineage, 1, "5" * 64, "spec.yaml")
    assert plan.state_sha256 == state_digest(HELLO)
    assert state_digest(HELLO) != state_digest(replace(HELLO, serial=2))


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 2001])
def test_the_digest_of_a_state_is_that_of_its_json(count: int) -> None:
    node = HELLO.nodes()[0]
    many = HELLO.with_records(Record(resource=replace(node, name=f"n{index}")) for index in range(count))
    for state in (
        many,
        replace(many, closed_ops=(ClosedOp(op="o" * 32, address="a", closed_at=1.0),)),
        replace(many, records=()),
    ):
        assert state_digest(state) == sha256(msgspec.json.encode(state, order="sorted")).hexdigest()


def test_plan_contains_the_observed_identities() -> None:
    sites = (LAB, replace(LAB, name="tokyo"))
    spec = wanted(cluster(), cluster("kyoto", site="tokyo"), sites=sites)
    plan = planned(spec, observations={"lab": observed(EMPTY)})
    assert [(known.site.name, known.identity is not None) for known in plan.sites] == [("lab", True), ("tokyo", False)]


def test_removed_site_is_planned_with_its_recorded_options() -> None:
    plan = planned(wanted(sites=()), HELLO)
    assert [known.site for known in plan.sites] == [LAB]
    with pytest.raises(PlanError) as caught:
        make_plan(wanted(sites=()), replace(HELLO, sites=()), {}, {})
    assert "Add the site to the spec again" in caught.value.problems[0].detail


def test_dropped_cluster_is_cleaned() -> None:
    plan = planned(wanted(cluster()), HELLO, request=PlanRequest(drop=("hello",)))
    assert [act.partition(" ")[0] for act in action_names(plan)] == ["shutdown", "clean"] * 3 + ["clean", "clean"]


def test_request_switches_a_cluster_off() -> None:
    off = PlanRequest(running=(("hello", False),))
    assert set(action_names(planned(wanted(cluster()), HELLO, request=off))) == {
        f"shutdown hello-{name}" for name in ("frontend", "compute-0", "compute-1")
    }


def test_other_clusters_keep_their_images() -> None:
    newer = (image(version="2"),)
    only = PlanRequest(drop=("hello",), only_clusters=("hello",))
    plan = planned(wanted(cluster(), cluster("world"), images=newer), TWO, request=only)
    assert {each.resource.cluster for each in plan.actions if isinstance(each.resource, Node)} == {"hello"}
    assert "clean debian-12" not in action_names(plan)
    assert plan.partial


def test_unused_image_of_a_dropped_cluster_is_cleaned() -> None:
    spec = wanted(cluster(), images=(image(),))
    assert "clean debian-12" in action_names(planned(spec, HELLO, request=PlanRequest(drop=("hello",), only_clusters=("hello",))))


def test_one_cluster_stages_only_its_images() -> None:
    spec = wanted(
        cluster(),
        cluster("world", frontend=nodes(1, of="debian-13"), computes=nodes(0, of="debian-13")),
        images=(image(), image("debian-13")),
    )
    plan = planned(spec, request=PlanRequest(only_clusters=("world",)))
    assert action_names(plan) == ["stage debian-13", "allocate world", "boot world-frontend"]


def test_problems_of_all_clusters_are_reported_at_once() -> None:
    with pytest.raises(PlanError) as caught:
        planned(wanted(cluster(vlan=4000), cluster("world", vlan=4001)))
    assert [problem.detail.partition(" is")[0] for problem in caught.value.problems] == ["VLAN 4000", "VLAN 4001"]


def asked(spec: Wanted, state: State = HELLO, **request: object) -> bool:
    return sites_needing_inventory(spec, state, PlanRequest(**request)) == {"lab"}


@pytest.mark.parametrize(
    "more",
    [
        {"computes": 3},
        {"computes": nodes(2, cpus=2)},
        {"computes": nodes(2, memory_mib=2048)},
        {"frontend": nodes(1, disk_bytes=40 * GIB)},
        {"vlan": 30},
    ],
)
def test_growth_needs_the_inventory(more: dict[str, object]) -> None:
    assert asked(wanted(cluster(**more)))


def test_new_clusters_images_and_boots_need_the_inventory() -> None:
    off = applied(planned(wanted(cluster(running=False)), HELLO), HELLO)
    assert asked(wanted(cluster()), EMPTY)
    assert asked(wanted(cluster(), images=(image(version="2"),)))
    assert asked(wanted(cluster()), off)
    assert asked(wanted(cluster(running=False)), off, running=(("hello", True),))
    without_frontend = HELLO.without("lab/hello/node/hello-frontend")
    assert asked(wanted(cluster()), without_frontend)


@pytest.mark.parametrize(
    "less",
    [{}, {"computes": 1}, {"computes": nodes(2, memory_mib=512)}, {"ssh_keys": ()}, {"protect": True}, {"running": False}],
)
def test_unchanged_or_smaller_clusters_need_no_inventory(less: dict[str, object]) -> None:
    assert not asked(wanted(cluster(**less)))
    assert planned(wanted(cluster(**less)), HELLO, inventories={})


def test_clusters_off_dropped_or_out_of_scope_need_no_inventory() -> None:
    off = applied(planned(wanted(cluster(running=False)), HELLO), HELLO)
    assert not asked(wanted(cluster(running=False)), off)
    assert not asked(wanted(cluster(computes=9)), drop=("hello",))
    assert not asked(wanted(cluster(computes=9), cluster("world")), only_clusters=("other",))


def test_large_cluster_is_planned() -> None:
    plan = planned(wanted(cluster(computes=2000)), inventories={"lab": ROOMY})
    assert len(plan.actions) == 2003
    assert len({nic.mac for each in plan.actions if isinstance(each.resource, Node) for nic in each.resource.nics}) == 2002
