"""Outputs of sites as fields of resources."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.late.drift import moved_interfaces, with_interfaces, without_interfaces
from pragmaspec.planning.late.values import unknown_values, with_public_address, with_values, without_values
from pragmaspec.planning.observed import ObservedInterface
from pragmaspec.resources import Nic, Volume
from pragmaspec.site import SimulatedSite
from tests.planning.builders import EMPTY, applied, cluster, image, planned, wanted

CLOUD = SimulatedSite(name="cloud", late=("macs", "private", "public"))
PLAN = planned(wanted(cluster(computes=1, site="cloud"), sites=(CLOUD,)))
STAGED, ALLOCATION, FRONTEND = (PLAN.actions[index].resource for index in range(3))


def test_values_become_fields_and_other_outputs_stay() -> None:
    outputs = (("address:private", "10.20.0.7"), ("id", "m-1"), ("mac:private", "fa:16:3e:00:00:01"))
    node = with_values(FRONTEND, outputs)
    assert (node.nic("private").mac, node.nic("private").address) == ("fa:16:3e:00:00:01", "10.20.0.7")
    assert unknown_values(node) == ("mac:public", "address:public")
    assert without_values(outputs) == (("id", "m-1"),)
    assert with_values(FRONTEND, (("id", "m-1"),)) is FRONTEND


def test_a_public_address_belongs_to_the_allocation() -> None:
    assert unknown_values(ALLOCATION) == ("public:hello-frontend",)
    assert with_public_address(FRONTEND, ALLOCATION) is FRONTEND
    granted = with_values(ALLOCATION, (("public:hello-frontend", "203.0.113.1"),))
    assert unknown_values(granted) == ()
    assert with_public_address(FRONTEND, granted).nic("public").address == "203.0.113.1"


def test_other_resources_have_no_such_values() -> None:
    volume = Volume(site="cloud", name="home", size_bytes=1)
    outputs = (("mac:private", "fa:16:3e:00:00:01"),)
    for resource in (STAGED, volume):
        assert with_values(resource, outputs) is resource
        assert unknown_values(resource) == ()


def test_a_value_that_is_not_recorded_yet_is_no_drift() -> None:
    there = (ObservedInterface(network="private", mac="fa:16:3e:00:00:01", address="10.20.0.7"), ObservedInterface(network="lan"))
    assert moved_interfaces(FRONTEND, there) == ()
    known = with_interfaces(FRONTEND, there)
    assert known.nic("private") == Nic(
        network="private", mac="fa:16:3e:00:00:01", address="10.20.0.7", prefix=16, segment="vlan 20"
    )
    assert moved_interfaces(known, (ObservedInterface(network="private", mac="fa:16:3e:00:00:02", address="10.20.0.8"),)) == (
        "has the MAC fa:16:3e:00:00:02 in private, recorded fa:16:3e:00:00:01",
        "has the address 10.20.0.8 in private, recorded 10.20.0.7",
    )
    assert moved_interfaces(known, (ObservedInterface(network="private"),)) == ()
    there = (ObservedInterface(network="private", mac="fa:16:3e:00:00:02", address="10.20.0.7"),)
    forgotten = without_interfaces(replace(known, nics=(known.nics[0], replace(known.nics[1], mac="fa:16:3e:00:00:03"))), there)
    assert [(nic.mac, nic.address) for nic in forgotten.nics] == [("", "10.20.0.7"), ("fa:16:3e:00:00:03", "")]


def test_an_image_without_cloud_init_needs_known_addresses() -> None:
    old = replace(image(), cloud_init=False)
    with pytest.raises(PlanError, match="hello-frontend boots from an image without cloud-init") as caught:
        planned(wanted(cluster(site="cloud"), sites=(CLOUD,), images=(old,)))
    assert len(caught.value.problems) == 1
    public = SimulatedSite(name="cloud", late=("public",))
    assert planned(wanted(cluster(site="cloud"), sites=(public,), images=(old,))).actions


def test_a_site_that_no_longer_chooses_addresses_gets_planned_ones() -> None:
    spec = wanted(cluster(site="cloud"), sites=(CLOUD,))
    before = applied(planned(spec), EMPTY)
    now = wanted(cluster(site="cloud"), sites=(SimulatedSite(name="cloud"),))
    plan = planned(now, before)
    assert {action.impact for action in plan.actions} == {"rebuild"}
    assert planned(now, applied(plan, before)).empty
    record = before.record("cloud/hello/node/hello-compute-1")
    nics = tuple(replace(nic, address="", mac="") for nic in record.resource.nics)
    unfinished = before.with_record(replace(record, status="pending", resource=replace(record.resource, nics=nics)))
    assert planned(now, applied(planned(now, unfinished), unfinished)).empty


def test_an_unfinished_public_address_is_chosen_by_the_plan_once_the_site_does_not() -> None:
    before = applied(planned(wanted(cluster(site="cloud"), sites=(CLOUD,))), EMPTY)
    record = before.record("cloud/hello/allocation")
    unknown = tuple(replace(grant, address="") for grant in record.resource.public)
    before = before.with_record(replace(record, status="pending", resource=replace(record.resource, public=unknown)))
    now = wanted(cluster(site="cloud"), sites=(SimulatedSite(name="cloud", late=("macs", "private")),))
    plan = planned(now, before)
    assert plan.actions[0].resource.public[0].address == "192.168.122.10"


TRANSLATED = Nic(network="public", mac="", address="", prefix=32, translated=True)


def test_a_translated_address_has_the_mac_of_the_private_interface() -> None:
    node = replace(FRONTEND, nics=(FRONTEND.nics[0], TRANSLATED))
    assert unknown_values(node) == ("mac:private", "address:private", "address:public")
    named = with_values(node, (("address:private", "10.20.0.7"), ("mac:private", "fa:16:3e:00:00:01")))
    assert [nic.mac for nic in named.nics] == ["fa:16:3e:00:00:01"] * 2
    assert named.interfaces == named.nics[:1]


def test_a_moved_private_interface_moves_its_translated_address() -> None:
    nics = (replace(FRONTEND.nics[0], mac="fa:16:3e:00:00:01", address="10.20.0.7"), replace(TRANSLATED, mac="fa:16:3e:00:00:01"))
    node = replace(FRONTEND, nics=nics)
    seen = (
        ObservedInterface(network="private", mac="fa:16:3e:00:00:02"),
        ObservedInterface(network="public", address="203.0.113.9"),
    )
    assert moved_interfaces(node, seen) == ("has the MAC fa:16:3e:00:00:02 in private, recorded fa:16:3e:00:00:01",)
    assert [nic.mac for nic in with_interfaces(node, seen[:1]).nics] == ["fa:16:3e:00:00:02"] * 2
    assert [nic.mac for nic in without_interfaces(node, seen[:1]).nics] == ["", ""]
