"""The whole way from a spec to a plan."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.planner import make_plan, sites_needing_inventory, state_digest
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node
from pragmaspec.state_model import State
from tests.planning.world import EMPTY, GIB, LAB, ROOMY, acts, applied, cluster, image, nodes, observed, planned, settled, wanted

HELLO = settled(cluster())
TWO = settled(cluster(), cluster("world"))


def test_what_was_applied_needs_nothing_more() -> None:
    assert planned(wanted(cluster()), HELLO).empty


def test_a_plan_is_bound_to_what_it_was_made_from() -> None:
    plan = planned(wanted(cluster(), digest="5" * 64), HELLO)
    assert (plan.lineage, plan.serial, plan.spec_sha256, plan.spec_file) == (HELLO.lineage, 1, "5" * 64, "spec.yaml")
    assert plan.state_sha256 == state_digest(HELLO)
    assert state_digest(HELLO) != state_digest(replace(HELLO, serial=2))


def test_a_plan_says_which_sites_were_asked() -> None:
    sites = (LAB, replace(LAB, name="tokyo"))
    spec = wanted(cluster(), cluster("kyoto", site="tokyo"), sites=sites)
    plan = planned(spec, observations={"lab": observed(EMPTY)})
    assert [(known.site.name, known.identity is not None) for known in plan.sites] == [("lab", True), ("tokyo", False)]


def test_a_site_that_left_the_spec_is_cleaned_as_it_was_last_used() -> None:
    plan = planned(wanted(sites=()), HELLO)
    assert [known.site for known in plan.sites] == [LAB]
    with pytest.raises(PlanError) as caught:
        make_plan(wanted(sites=()), replace(HELLO, sites=()), {}, {})
    assert "Add the site to the spec again" in caught.value.problems[0].detail


def test_a_cluster_that_is_dropped_goes_though_the_spec_wants_it() -> None:
    plan = planned(wanted(cluster()), HELLO, request=PlanRequest(drop=("hello",)))
    assert [act.partition(" ")[0] for act in acts(plan)] == ["shutdown", "clean"] * 3 + ["clean", "clean"]


def test_a_request_decides_whether_a_cluster_runs() -> None:
    off = PlanRequest(running=(("hello", False),))
    assert set(acts(planned(wanted(cluster()), HELLO, request=off))) == {
        f"shutdown hello-{name}" for name in ("frontend", "compute-0", "compute-1")
    }


def test_other_clusters_are_left_alone_with_the_images_they_were_booted_from() -> None:
    newer = (image(version="2"),)
    only = PlanRequest(drop=("hello",), only_clusters=("hello",))
    plan = planned(wanted(cluster(), cluster("world"), images=newer), TWO, request=only)
    assert {each.resource.cluster for each in plan.actions if isinstance(each.resource, Node)} == {"hello"}
    assert "clean debian-12" not in acts(plan)
    assert plan.partial


def test_an_image_that_only_the_dropped_cluster_used_goes_with_it() -> None:
    spec = wanted(cluster(), images=(image(),))
    assert "clean debian-12" in acts(planned(spec, HELLO, request=PlanRequest(drop=("hello",), only_clusters=("hello",))))


def test_booting_one_cluster_stages_only_what_it_needs() -> None:
    spec = wanted(
        cluster(),
        cluster("world", frontend=nodes(1, of="debian-13"), computes=nodes(0, of="debian-13")),
        images=(image(), image("debian-13")),
    )
    plan = planned(spec, request=PlanRequest(only_clusters=("world",)))
    assert acts(plan) == ["stage debian-13", "allocate world", "boot world-frontend"]


def test_problems_of_all_clusters_are_told_at_once() -> None:
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
def test_a_site_is_asked_what_it_has_when_more_is_wanted(more: dict[str, object]) -> None:
    assert asked(wanted(cluster(**more)))


def test_a_site_is_asked_about_new_clusters_images_and_nodes_that_start() -> None:
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
def test_nobody_is_asked_when_nothing_more_is_wanted(less: dict[str, object]) -> None:
    assert not asked(wanted(cluster(**less)))
    assert planned(wanted(cluster(**less)), HELLO, inventories={})


def test_nobody_is_asked_about_clusters_that_are_off_dropped_or_not_concerned() -> None:
    off = applied(planned(wanted(cluster(running=False)), HELLO), HELLO)
    assert not asked(wanted(cluster(running=False)), off)
    assert not asked(wanted(cluster(computes=9)), drop=("hello",))
    assert not asked(wanted(cluster(computes=9), cluster("world")), only_clusters=("other",))


def test_a_large_cluster_is_planned_whole() -> None:
    plan = planned(wanted(cluster(computes=2000)), inventories={"lab": ROOMY})
    assert len(plan.actions) == 2003
    assert len({nic.mac for each in plan.actions if isinstance(each.resource, Node) for nic in each.resource.nics}) == 2002
