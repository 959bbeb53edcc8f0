"""A plan that takes a network away says whose machines are on it; the cluster's own nodes do not count."""

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


class Site:
    """A site that tells who is on its networks, and remembers what it was asked."""

    def __init__(self, *there: AttachedMachine) -> None:
        self.there = there
        self.asked: list[tuple[Allocation, Allocation | None, Mark]] = []

    def provider(self, name: str) -> "Site":
        return self

    @property
    def abilities(self) -> Abilities:
        return Abilities(network_use=self)

    def attached_machines(self, held: Allocation, keep: Allocation | None, mark: Mark) -> tuple[AttachedMachine, ...]:
        self.asked.append((held, keep, mark))
        return self.there


class Silent:
    """A site that cannot tell."""

    abilities = Abilities()

    def provider(self, name: str) -> "Silent":
        return self


CLEAN = planned(wanted(cluster(computes=1)), HELLO, request=PlanRequest(drop=("hello",), only_clusters=("hello",)))
OTHER_VLAN = planned(wanted(cluster(computes=1, vlan=77)), HELLO)


@pytest.mark.parametrize("plan", [CLEAN, OTHER_VLAN])
def test_machines_of_others_are_named_and_the_clusters_own_are_not(plan: Plan) -> None:
    (problem,) = networks_in_use(plan, HELLO, Site(LAB_VM, OWN, ORPHAN, TWIN))
    assert "labvm on pragmaspec-vlan-20, hello-compute-7 on pragmaspec-vlan-20 and b on" in problem.detail
    assert problem.detail.endswith("Detach them first, for example: virsh detach-interface labvm")
    assert networks_in_use(plan, HELLO, Site(OWN)) == ()
    assert networks_in_use(plan, HELLO, Silent()) == ()


def test_without_a_command_it_is_a_sentence_all_the_same() -> None:
    held = HELLO.record("lab/hello/allocation").resource
    assert network_in_use([TWIN], held).detail.endswith(
        "a network that another machine uses: b on pragmaspec-vlan-20. Detach it first."
    )


def test_a_site_is_asked_only_where_a_network_goes() -> None:
    site = Site(LAB_VM)
    for plan in (
        planned(wanted(cluster(computes=1)), State(lineage=LINEAGE)),
        planned(wanted(cluster(computes=2, protect=True)), HELLO),
        planned(wanted(cluster(computes=1, public=replace(cluster().public, kind="none"))), HELLO),
    ):
        assert networks_in_use(plan, HELLO, site) == ()
    assert site.asked == []
    assert networks_in_use(OTHER_VLAN, HELLO, site)
    ((held, keep, mark),) = site.asked
    assert (held.private.vlan, keep and keep.private.vlan, mark.address) == (20, 77, "lab/hello/allocation")


def test_nodes_of_a_renamed_cluster_are_known_by_what_they_were_made_as() -> None:
    move = (Move(before="hello", after="world"),)
    spec = wanted(cluster("world", computes=1, vlan=77), moves=move)
    plan = planned(spec, HELLO)
    site = Site(OWN)
    assert networks_in_use(plan, HELLO, site) == ()
    assert site.asked[0][2].address == "lab/hello/allocation"


def test_a_refusal_names_the_network_in_use_and_what_is_not_allowed_at_once() -> None:
    plan = planned(wanted(), HELLO)
    used = networks_in_use(CLEAN, HELLO, Site(LAB_VM))
    with pytest.raises(PlanRefusedError) as refused:
        check_allowed(plan, (), used)
    assert [problem.summary for problem in refused.value.problems] == ["The plan removes nodes", IN_USE]
