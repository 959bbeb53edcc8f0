"""Updates that tell the members of a cluster to its nodes after the last boot."""

import pytest
from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import peers_digest
from pragmaspec.networking import LateValue
from pragmaspec.planning.late.members import LATER, MEMBERS_LATER
from pragmaspec.planning.observed import Observations, ObservedInterface
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Node
from pragmaspec.site import SimulatedSite
from pragmaspec.state_model import State
from tests.planning.builders import EMPTY, applied, cluster, nodes, observed, planned, wanted

ALL: tuple[LateValue, ...] = ("macs", "private", "public")
CLOUD = SimulatedSite(name="cloud", late=ALL)


def spec(computes: int = 2, **more: object) -> object:
    return wanted(cluster(computes=computes, site="cloud", **more), sites=(CLOUD,))


def test_one_update_awaits_all_boots_and_the_others_await_it() -> None:
    actions = {action.key: action for action in planned(spec(300)).actions}
    frontend = actions["update cloud/hello/node/hello-frontend"]
    assert len(frontend.after) == 301
    assert actions["update cloud/hello/node/hello-compute-7"].after == ("boot cloud/hello/node/hello-compute-7", frontend.key)
    assert sum(len(action.after) for action in actions.values()) < 4 * len(actions)


def test_nodes_boot_without_members_and_are_recorded_with_them() -> None:
    plan = planned(spec())
    peers = {action.key.split()[0]: action.resource.peers for action in plan.actions if isinstance(action.resource, Node)}
    assert peers == {"boot": "", "update": LATER}
    after = applied(plan, EMPTY)
    allocation = after.record("cloud/hello/allocation").resource
    assert {node.peers for node in after.nodes()} == {peers_digest(allocation, after.nodes(), "local")}
    assert planned(spec(), after).empty


def test_nodes_need_no_update_where_the_allocation_names_all_that_is_unknown() -> None:
    site = SimulatedSite(name="cloud", late=("public",))
    small = wanted(cluster(computes=1, site="cloud"), sites=(site,))
    plan = planned(small)
    assert [action.verb for action in plan.actions] == ["stage", "allocate", "boot", "boot"]
    before = applied(plan, EMPTY)
    assert {node.peers for node in before.nodes()} == {
        peers_digest(before.record("cloud/hello/allocation").resource, before.nodes(), "local")
    }
    assert planned(small, before).empty
    grown = wanted(cluster(computes=2, site="cloud"), sites=(site,))
    assert [action.verb for action in planned(grown, before).actions] == ["update", "update", "boot"]
    assert planned(grown, applied(planned(grown, before), before)).empty


def test_the_plan_after_a_crash_has_the_missing_updates_only() -> None:
    plan = planned(spec())
    whole = applied(plan, EMPTY)
    updates = [action for action in plan.actions if action.verb == "update"]
    boots = applied(replace(plan, actions=tuple(each for each in plan.actions if each not in updates)), EMPTY)
    left = planned(spec(), boots)
    assert [action.key for action in left.actions] == [action.key for action in updates]
    assert [action.reason for action in left.actions] == ["cluster members changed"] * 3, "all addresses are known"
    assert applied(left, boots).records == whole.records


def test_one_unknown_address_concerns_every_node_of_its_cluster_only() -> None:
    both = wanted(cluster(site="cloud"), cluster("other", site="cloud"), sites=(CLOUD,))
    before = applied(planned(both), EMPTY)
    grown = wanted(cluster(site="cloud", computes=3), cluster("other", site="cloud"), sites=(CLOUD,))
    plan = planned(grown, before)
    assert [(action.verb, action.resource.name) for action in plan.actions] == [
        ("update", "hello-frontend"),
        ("update", "hello-compute-0"),
        ("update", "hello-compute-1"),
        ("boot", "hello-compute-2"),
        ("update", "hello-compute-2"),
    ]
    assert {action.reason for action in plan.actions if action.verb == "update"} == {MEMBERS_LATER}


def test_a_recorded_node_keeps_its_values_until_it_is_rebuilt() -> None:
    before = applied(planned(spec()), EMPTY)
    larger = spec(computes=nodes(2, cpus=2))
    after = applied(planned(larger, before), before)
    assert [node.nics for node in after.nodes()] == [node.nics for node in before.nodes()]
    rebuilt = spec(computes=nodes(2, packages=("openmpi-bin",)))
    anew = applied(planned(rebuilt, before), before)
    assert all(new.nics != old.nics for new, old in zip(anew.nodes()[1:], before.nodes()[1:], strict=True))
    assert anew.nodes()[0].nics == before.nodes()[0].nics


def test_a_target_gets_the_members_that_exist() -> None:
    request = PlanRequest(targets=("hello-compute-2",))
    before = applied(planned(spec()), EMPTY)
    part = planned(spec(3), before, request=request)
    assert [action.verb for action in part.actions] == ["boot", "update"]
    after = applied(part, before)
    assert {action.key for action in planned(spec(3), after).actions} == {
        "update cloud/hello/node/hello-frontend",
        "update cloud/hello/node/hello-compute-0",
        "update cloud/hello/node/hello-compute-1",
    }


def test_a_site_that_chooses_addresses_gives_the_route_too() -> None:
    boot = planned(spec()).actions[4]
    assert [(nic.gateway, nic.dns) for nic in boot.resource.nics] == [(None, ())]
    macs = wanted(cluster(site="cloud"), sites=(SimulatedSite(name="cloud", late=("macs",)),))
    (nic,) = next(each.resource.nics for each in planned(macs).actions if each.key.endswith("hello-compute-0"))
    assert (nic.mac, nic.address, nic.gateway) == ("", "10.20.0.10", "10.20.0.1")


def test_a_changed_address_is_recorded_and_told_to_every_member() -> None:
    before = applied(planned(spec()), EMPTY)
    moved = (ObservedInterface(network="private", address="10.20.0.77"),)
    seen = observed(before, "cloud")
    found = tuple(replace(each, interfaces=moved) if each.address.endswith("compute-1") else each for each in seen.nodes)
    plan = planned(spec(), before, observations={"cloud": replace(seen, nodes=found)})
    assert [action.verb for action in plan.actions] == ["update"] * 3
    after = applied(plan, before)
    assert after.record("cloud/hello/node/hello-compute-1").resource.nic("private").address == "10.20.0.77"
    assert len({node.peers for node in after.nodes()}) == 1
    assert planned(spec(), after).empty


def with_moved(state: State, **facts: object) -> dict[str, Observations]:
    """Return observations in which the second compute has another address, and these ``facts``."""
    moved = (ObservedInterface(network="private", address="10.20.0.77"), ObservedInterface(network="storage"))
    seen = observed(state, "cloud")
    found = (
        replace(each, **{"interfaces": moved, **facts})
        if each.address.endswith("compute-1")
        else replace(each, interfaces=moved[1:])
        for each in seen.nodes
    )
    return {"cloud": replace(seen, nodes=tuple(found))}


@pytest.mark.parametrize("status", ["pending", "ready"])
def test_the_boot_of_a_machine_with_another_address_names_it(status: str) -> None:
    """It is off, or unfinished: no drift, and no guest learns the recorded address."""
    before = applied(planned(spec()), EMPTY)
    record = before.record("cloud/hello/node/hello-compute-1")
    off = replace(record.resource, running=status == "pending")
    before = before.with_record(replace(record, status=status, resource=off))
    plan = planned(spec(), before, observations=with_moved(before))
    assert plan.drift == ()
    assert [f"{action.verb} {action.resource.name}" for action in plan.actions] == [
        "update hello-frontend",
        "update hello-compute-0",
        "boot hello-compute-1",
        "update hello-compute-1",
    ]
    assert plan.actions[2].resource.nic("private").address == ""
    after = applied(plan, before)
    assert planned(spec(), after).empty


def test_a_machine_that_was_stopped_may_have_another_address_when_it_boots() -> None:
    before = applied(planned(spec()), EMPTY)
    plan = planned(spec(), before, observations=with_moved(before, status="off"))
    assert [drift.detail for drift in plan.drift] == ["is off, recorded as running"]
    assert next(each for each in plan.actions if each.verb == "boot").resource.nic("private").address == ""
    assert planned(spec(), applied(plan, before)).empty


def test_an_unfinished_machine_with_the_recorded_address_keeps_it() -> None:
    before = applied(planned(spec()), EMPTY)
    record = replace(before.record("cloud/hello/node/hello-compute-0"), status="pending")
    before = before.with_record(record)
    (boot,) = planned(spec(), before, observations=with_moved(before, interfaces=())).actions
    assert boot.resource == record.resource
