"""A public network that is stopped is started by apply, one that is gone is said at plan, and its MTU reaches the guest."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.drift.public_network import mtu_warnings
from pragmaspec.planning.observed import Observations, PublicPool, SiteNetwork
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Node
from pragmaspec.site import PublicNetwork
from tests.planning.world import EMPTY, LAB, ROOMY, acts, applied, cluster, observed, planned, settled, wanted

HELLO = settled(cluster(computes=1))
BRIDGED = replace(LAB, public=PublicNetwork(bridge="br0", addresses=("192.0.2.10",), prefix=24))
ON_BRIDGE = settled(cluster(computes=1), sites=(BRIDGED,))


def sight(*networks: SiteNetwork) -> Observations:
    return replace(observed(HELLO), site_networks=(SiteNetwork(name="campus"), *networks))


def on_bridge(bridge: SiteNetwork) -> Observations:
    return replace(observed(ON_BRIDGE), public_bridge=bridge)


def plan(seen: Observations, **request: object) -> Plan:
    return planned(wanted(cluster(computes=1)), HELLO, observations={"lab": seen}, request=PlanRequest(**request))


def test_a_network_that_is_up_is_no_news() -> None:
    assert plan(sight(SiteNetwork(name="default"))).empty
    up = planned(
        wanted(cluster(computes=1), sites=(BRIDGED,)), ON_BRIDGE, observations={"lab": on_bridge(SiteNetwork(name="br0"))}
    )
    assert up.empty
    other = planned(
        wanted(cluster(computes=1), sites=(BRIDGED,)), ON_BRIDGE, observations={"lab": on_bridge(SiteNetwork(name="br1"))}
    )
    assert other.empty


def test_a_stopped_network_is_allocated_again_and_the_frontend_is_plugged_in_again() -> None:
    made = plan(sight(SiteNetwork(name="default", state="stopped")))
    assert [(drift.address.rpartition("/")[2], drift.detail) for drift in made.drift] == [
        ("allocation", "public network default is stopped"),
        ("hello-frontend", "is cut off: network public is lost"),
    ]
    assert acts(made) == ["allocate hello", "shutdown hello-frontend", "boot hello-frontend"]
    assert {action.impact for action in made.actions} == {"none", "reboot"}


@pytest.mark.parametrize(
    ("seen", "site", "state", "words"),
    [
        (sight(), LAB, HELLO, "which is missing. It has: campus. Define it there again (virsh -c qemu:///system net-define FILE"),
        (on_bridge(SiteNetwork(name="br0", state="absent")), BRIDGED, ON_BRIDGE, "ip link add br0 type bridge"),
        (on_bridge(SiteNetwork(name="br0", state="other")), BRIDGED, ON_BRIDGE, "br0 is a device of the host, but not a bridge"),
    ],
)  # fmt: skip
def test_what_nobody_here_can_bring_back_is_said_with_the_command(seen, site, state, words) -> None:
    spec = wanted(cluster(computes=1), sites=(site,))
    with pytest.raises(PlanError) as caught:
        planned(spec, state, observations={"lab": seen})
    assert [words in problem.detail for problem in caught.value.problems] == [True]


def test_a_cluster_can_be_shut_down_and_cleaned_without_its_public_network() -> None:
    gone = plan(sight(), drop=("hello",), only_clusters=("hello",))
    assert "clean hello" in acts(gone)
    assert [drift.detail for drift in gone.drift] == ["public network default does not exist"]
    assert "shutdown hello-frontend" in acts(plan(sight(), running=(("hello", False),), only_clusters=("hello",)))
    bridged = planned(
        wanted(sites=(BRIDGED,)), ON_BRIDGE, observations={"lab": on_bridge(SiteNetwork(name="br0", state="other"))}
    )
    assert [drift.detail for drift in bridged.drift] == ["br0 is not a bridge"]
    absent = planned(
        wanted(sites=(BRIDGED,)), ON_BRIDGE, observations={"lab": on_bridge(SiteNetwork(name="br0", state="absent"))}
    )
    assert [drift.detail for drift in absent.drift] == ["bridge br0 does not exist"]


def public_mtu(made: Plan) -> int:
    (frontend,) = (each.resource for each in made.actions if isinstance(each.resource, Node) and each.resource.role == "frontend")
    return frontend.nic("public").mtu


def test_a_frontend_is_told_how_large_the_packets_of_its_public_network_may_be() -> None:
    reported = replace(ROOMY, public=PublicPool(network="default", cidr="192.168.122.0/24", mtu=1400))
    new = planned(wanted(cluster(computes=0)), EMPTY, inventories={"lab": reported})
    assert public_mtu(new) == 1400
    said = replace(LAB, public=PublicNetwork(network="default", mtu=1280))
    assert public_mtu(planned(wanted(cluster(computes=0), sites=(said,)), EMPTY, inventories={"lab": reported})) == 1280
    assert planned(wanted(cluster(computes=0)), applied(new, EMPTY)).empty


def test_what_was_made_with_larger_packets_stays_is_warned_of_and_follows_the_spec() -> None:
    narrow = sight(SiteNetwork(name="default", mtu=1400))
    made = plan(narrow)
    assert made.empty
    (warning,) = made.warnings
    assert "default of site lab has an MTU of 1400, and hello-frontend was created with 1500" in warning.detail
    said = replace(LAB, public=PublicNetwork(network="default", mtu=1400))
    repaired = planned(wanted(cluster(computes=1), sites=(said,)), HELLO, observations={"lab": narrow})
    assert [each.verb for each in repaired.actions if each.address.endswith("frontend")] == ["shutdown", "clean", "boot"]
    after = applied(repaired, HELLO)
    assert list(mtu_warnings(after.records, narrow)) == []
    assert list(mtu_warnings(HELLO.records, replace(narrow, site="elsewhere"))) == []
