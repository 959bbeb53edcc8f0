"""Processors of nodes in plans. Most cases are golden plans called ``processor-…``."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.planner import sites_booting_nodes, sites_needing_inventory
from pragmaspec.resources import Node
from tests.planning.builders import EMPTY, ROOMY, applied, cluster, nodes, planned, wanted

OFFERED = replace(ROOMY, processors=("host", "x86-64-v2", "x86-64-v3"), default_processor="x86-64-v2")
AT_LAB = {"lab": OFFERED}


def processors(plan):
    return [each.resource.cpu for each in plan.actions if each.verb == "boot" and isinstance(each.resource, Node)]


def test_new_nodes_get_the_default_and_a_plan_without_changes_does_not_ask_for_it():
    spec = wanted(cluster(computes=nodes(2)))
    plan = planned(spec, EMPTY, inventories=AT_LAB)
    assert processors(plan) == ["x86-64-v2"] * 3
    state = applied(plan, EMPTY)
    assert sites_needing_inventory(spec, state) == frozenset()
    again = planned(spec, state)
    assert again.actions == ()
    assert sites_booting_nodes(again) == frozenset()


def test_only_another_named_processor_needs_the_inventory():
    state = applied(planned(wanted(cluster(computes=nodes(1, cpu="host"))), EMPTY, inventories=AT_LAB), EMPTY)
    assert {node.role: node.cpu for node in state.nodes()} == {"frontend": "x86-64-v2", "compute": "host"}
    assert sites_needing_inventory(wanted(cluster(computes=nodes(1))), state) == frozenset()
    assert sites_needing_inventory(wanted(cluster(computes=nodes(1, cpu="host"))), state) == frozenset()
    assert sites_needing_inventory(wanted(cluster(computes=nodes(1, cpu="x86-64-v3"))), state) == {"lab"}


def test_a_node_that_should_be_off_is_not_refused():
    state = applied(planned(wanted(cluster(computes=nodes(1))), EMPTY, inventories=AT_LAB), EMPTY)
    off = wanted(cluster(computes=nodes(1, cpu="x86-64-v4"), running=False))
    assert {each.verb for each in planned(off, state, inventories=AT_LAB).actions} == {"shutdown"}


def test_nodes_of_other_sites_keep_theirs():
    spec = wanted(cluster(computes=nodes(1)))
    inventories = {"lab": OFFERED, "hall": replace(OFFERED, default_processor="x86-64-v3")}
    assert processors(planned(spec, EMPTY, inventories=inventories)) == ["x86-64-v2"] * 2
    inventories = {"lab": OFFERED, "hall": replace(OFFERED, processors=None, default_processor="")}
    assert processors(planned(spec, EMPTY, inventories=inventories)) == ["x86-64-v2"] * 2


# the lock file


def pinned(spec, processor="x86-64-v3", site="lab"):
    return replace(spec, processors=((site, processor),))


def chosen(plan):
    return {each.site.name: each.default_processor for each in plan.sites}


def test_a_pinned_processor_is_preferred_for_new_nodes():
    spec = wanted(cluster(computes=nodes(1, cpu="host")))
    plan = planned(pinned(spec), EMPTY, inventories=AT_LAB)
    assert processors(plan) == ["x86-64-v3", "host"]
    assert chosen(plan) == {"lab": "x86-64-v3"}
    state = applied(plan, EMPTY)
    assert planned(pinned(spec, "x86-64-v2"), state).actions == (), "recorded nodes keep theirs"
    assert processors(planned(pinned(spec, site="hall"), EMPTY, inventories=AT_LAB)) == ["x86-64-v2", "host"]


def test_a_plan_tells_whether_it_has_chosen_a_default():
    spec = wanted(cluster(frontend=nodes(1, cpu="host"), computes=nodes(1, cpu="host")))
    assert chosen(planned(spec, EMPTY, inventories=AT_LAB)) == {"lab": ""}
    spec = wanted(cluster(computes=nodes(1)))
    assert chosen(planned(spec, EMPTY, inventories=AT_LAB)) == {"lab": "x86-64-v2"}
    assert chosen(planned(spec, EMPTY)) == {"lab": ""}


@pytest.mark.parametrize(
    ("offered", "known", "update"),
    [
        (
            OFFERED,
            "It can give host, x86-64-v2 and x86-64-v3.",
            "pins x86-64-v2 instead; a `cpu` in the spec decides for its nodes alone",
        ),
        (replace(ROOMY, processors=None), "It chooses the processors of its machines itself.", "removes the pin"),
    ],
)
def test_a_pinned_processor_that_the_site_cannot_give_is_one_problem(offered, known, update):
    spec = pinned(wanted(cluster(computes=nodes(3))), "x86-64-v4")
    with pytest.raises(PlanError) as caught:
        planned(spec, EMPTY, inventories={"lab": offered})
    (problem,) = caught.value.problems
    assert problem.summary == "The site cannot give the processor of the lock file"
    assert problem.detail == (
        f"pragmaspec.lock gives new nodes of site lab the processor x86-64-v4, which the site cannot give. {known} "
        f"`pragmaspec lock --upgrade lab` {update}."
    )
