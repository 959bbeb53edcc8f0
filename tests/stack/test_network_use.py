"""A plan that removes a network reports the machines attached to it, except for the nodes of the cluster itself."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanRefusedError
from pragmaspec.planning.drift.attached_machines import IN_USE, AttachedMachine, network_in_use
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Move
from pragmaspec.providers.base import Abilities
from pragmaspec.resources import Allocation, Mark
from pragmaspec.stack.network_use import networks_in_use
from pragmaspec.stack.run import check_allowed
from pragmaspec.state_model import State
from tests.planning.builders import LINEAGE, applied_state, cluster, planned, wanted

HELLO = applied_state(cluster(computes=1))
LAB_VM = AttachedMachine(machine="labvm", network="pragmaspec-vlan-20", unplug="virsh detach-interface labvm")
OWN = AttachedMachine(machine="a", network="pragmaspec-vlan-20", lineage=LINEAGE, address="lab/hello/node/hello-compute-0")
ORPHAN = replace(OWN, machine="hello-compute-7", address="lab/hello/node/hello-compute-7")
TWIN = replace(OWN, machine="b", lineage="another")


class StubSite:
    """A site that reports the machines attached to its networks and records the queries."""

    def __init__(self, *attached: AttachedMachine) -> None:
        self.attached = attached
        self.queries: list[tuple[Allocation, Allocation | None, Mark]] = []

    def provider(self, name: str) -> "StubSite":
        return self

    @property
    def abilities(self) -> Abilities:
        return Abilities(network_use=self)

    def attached_machines(self, held: Allocation, keep: Allocation | None, mark: Mark) -> tuple[AttachedMachine, ...]:
        self.queries.append((held, keep, mark))
        return self.attached


class SiteWithoutNetworkUse:
    """A site that cannot report attached machines."""

    abilities = Abilities()

    def provider(self, name: str) -> "SiteWithoutNetworkUse":
        return self


CLEAN = planned(wanted(cluster(computes=1)), HELLO, request=PlanRequest(drop=("hello",), only_clusters=("hello",)))
OTHER_VLAN = planned(wanted(cluster(computes=1, vlan=77)), HELLO)


@pytest.mark.parametrize("plan", [CLEAN, OTHER_VLAN])
def test_only_foreign_machines_count_as_network_use(plan: Plan) -> None:
    (problem,) = networks_in_use(plan, HELLO, StubSite(LAB_VM, OWN, ORPHAN, TWIN))
    assert "labvm on pragmaspec-vlan-20, hello-compute-7 on pragmaspec-vlan-20 and b on" in problem.detail
    assert problem.detail.endswith("Detach them first, for example: virsh detach-interface labvm")
    assert networks_in_use(plan, HELLO, StubSite(OWN)) == ()
    assert networks_in_use(plan, HELLO, SiteWithoutNetworkUse()) == ()


def test_the_detail_without_an_unplug_command_is_a_full_sentence() -> None:
    held = HELLO.record("lab/hello/allocation").resource
    assert network_in_use([TWIN], held).detail.endswith(
        "a network that another machine uses: b on pragmaspec-vlan-20. Detach it first."
    )


def test_a_site_is_queried_only_if_the_plan_removes_a_network() -> None:
    site = StubSite(LAB_VM)
    for plan in (
        planned(wanted(cluster(computes=1)), State(lineage=LINEAGE)),
        planned(wanted(cluster(computes=2, protect=True)), HELLO),
        planned(wanted(cluster(computes=1, public=replace(cluster().public, kind="none"))), HELLO),
    ):
        assert networks_in_use(plan, HELLO, site) == ()
    assert site.queries == []
    assert networks_in_use(OTHER_VLAN, HELLO, site)
    ((held, keep, mark),) = site.queries
    assert (held.private.vlan, keep and keep.private.vlan, mark.address) == (20, 77, "lab/hello/allocation")


def test_nodes_of_a_renamed_cluster_match_their_original_address() -> None:
    move = (Move(before="hello", after="world"),)
    spec = wanted(cluster("world", computes=1, vlan=77), moves=move)
    plan = planned(spec, HELLO)
    site = StubSite(OWN)
    assert networks_in_use(plan, HELLO, site) == ()
    assert site.queries[0][2].address == "lab/hello/allocation"


def test_a_refusal_lists_networks_in_use_together_with_missing_permissions() -> None:
    plan = planned(wanted(), HELLO)
    used = networks_in_use(CLEAN, HELLO, StubSite(LAB_VM))
    with pytest.raises(PlanRefusedError) as refused:
        check_allowed(plan, (), used)
    assert [problem.summary for problem in refused.value.problems] == ["The plan removes nodes", IN_USE]
