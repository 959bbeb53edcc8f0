"""Stopped, missing and changed public networks."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.drift.public_network import mtu_warnings
from pragmaspec.planning.observed import Observations, PublicPool, SiteNetwork
from pragmaspec.planning.plan import Plan
from pragmaspec.planning.request import PlanRequest
from pragmaspec.resources import Node
from pragmaspec.site import PublicNetwork
from tests.planning.builders import EMPTY, LAB, ROOMY, action_names, applied, applied_state, cluster, observed, planned, wanted

HELLO = applied_state(cluster(computes=1))
BRIDGED = replace(LAB, public=PublicNetwork(bridge="br0", addresses=("192.0.2.10",), prefix=24))
ON_BRIDGE = applied_state(cluster(computes=1), sites=(BRIDGED,))


def observations(*networks: SiteNetwork) -> Observations:
    return replace(observed(HELLO), site_networks=(SiteNetwork(name="campus"), *networks))


def on_bridge(bridge: SiteNetwork) -> Observations:
    return replace(observed(ON_BRIDGE), public_bridge=bridge)


def plan(seen: Observations, **request: object) -> Plan:
    return planned(wanted(cluster(computes=1)), HELLO, observations={"lab": seen}, request=PlanRequest(**request))


def test_network_that_is_up_is_no_drift() -> None:
    assert plan(observations(SiteNetwork(name="default"))).empty
    up = planned(
        wanted(cluster(computes=1), sites=(BRIDGED,)), ON_BRIDGE, observations={"lab": on_bridge(SiteNetwork(name="br0"))}
    )
    assert up.empty
    other = planned(
        wanted(cluster(computes=1), sites=(BRIDGED,)), ON_BRIDGE, observations={"lab": on_bridge(SiteNetwork(name="br1"))}
    )
    assert other.empty


def test_stopped_network_is_allocated_again_and_the_frontend_reattached() -> None:
    made = plan(observations(SiteNetwork(name="default", state="stopped")))
    assert [(drift.address.rpartition("/")[2], drift.detail) for drift in made.drift] == [
        ("allocation", "public network default is stopped"),
        ("hello-frontend", "is cut off: network public is lost"),
    ]
    assert action_names(made) == ["allocate hello", "shutdown hello-frontend", "boot hello-frontend"]
    assert {action.impact for action in made.actions} == {"none", "reboot"}


@pytest.mark.parametrize(
    ("seen", "site", "state", "advice"),
    [
        (observations(), LAB, HELLO, "which is missing. It has: campus. Define it there again (virsh -c qemu:///system"),
        (on_bridge(SiteNetwork(name="br0", state="absent")), BRIDGED, ON_BRIDGE, "ip link add br0 type bridge"),
        (on_bridge(SiteNetwork(name="br0", state="other")), BRIDGED, ON_BRIDGE, "br0 is a device of the host, but not a bridge"),
    ],
)  # fmt: skip
def test_missing_network_is_refused_with_a_repair_command(seen, site, state, advice) -> None:
    spec = wanted(cluster(computes=1), sites=(site,))
    with pytest.raises(PlanError) as caught:
        planned(spec, state, observations={"lab": seen})
    assert [advice in problem.detail for problem in caught.value.problems] == [True]


def test_shutdown_and_clean_need_no_public_network() -> None:
    gone = plan(observations(), drop=("hello",), only_clusters=("hello",))
    assert "clean hello" in action_names(gone)
    assert [drift.detail for drift in gone.drift] == ["public network default does not exist"]
    assert "shutdown hello-frontend" in action_names(plan(observations(), running=(("hello", False),), only_clusters=("hello",)))
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


def test_frontend_gets_the_mtu_of_its_public_network() -> None:
    reported = replace(ROOMY, public=PublicPool(network="default", cidr="192.168.122.0/24", mtu=1400))
    new = planned(wanted(cluster(computes=0)), EMPTY, inventories={"lab": reported})
    assert public_mtu(new) == 1400
    message = replace(LAB, public=PublicNetwork(network="default", mtu=1280))
    assert public_mtu(planned(wanted(cluster(computes=0), sites=(message,)), EMPTY, inventories={"lab": reported})) == 1280
    assert planned(wanted(cluster(computes=0)), applied(new, EMPTY)).empty


def test_smaller_public_mtu_is_a_warning_until_the_spec_follows() -> None:
    narrow = observations(SiteNetwork(name="default", mtu=1400))
    made = plan(narrow)
    assert made.empty
    (warning,) = made.warnings
    assert "default of site lab has an MTU of 1400, and hello-frontend was created with 1500" in warning.detail
    message = replace(LAB, public=PublicNetwork(network="default", mtu=1400))
    repaired = planned(wanted(cluster(computes=1), sites=(message,)), HELLO, observations={"lab": narrow})
    assert [each.verb for each in repaired.actions if each.address.endswith("frontend")] == ["shutdown", "clean", "boot"]
    after = applied(repaired, HELLO)
    assert list(mtu_warnings(after.records, narrow)) == []
    assert list(mtu_warnings(HELLO.records, replace(narrow, site="elsewhere"))) == []
