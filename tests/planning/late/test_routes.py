"""Nodes that are told the members of their cluster after the boots, although nobody can reach them."""

from msgspec.structs import replace

from pragmaspec.planning.wanted import WantedPublic
from pragmaspec.resources import Readiness
from pragmaspec.site import SimulatedSite
from tests.planning.builders import EMPTY, applied, cluster, line, planned, wanted

CLOUD = SimulatedSite(name="cloud", late=("macs", "private"))
NOBODY = {"public": WantedPublic(kind="none"), "readiness": Readiness(when="none")}


def spec(*, computes=4, site=CLOUD, autostart=False, **more):
    return wanted(cluster(computes=computes, site=site.name, autostart=autostart, **(more or NOBODY)), sites=(site,))


def summaries(plan):
    return [each.summary for each in plan.warnings]


def test_nodes_without_a_route_are_one_warning_per_cluster():
    (warning,) = planned(spec()).warnings
    assert (warning.severity, warning.where) == ("warning", line(11))
    assert warning.detail == (
        "Site cloud chooses addresses when nodes boot, so hello-frontend, hello-compute-0, hello-compute-1 and 2 more can be "
        "told the members of hello only afterwards, over ssh. There is no route to them, because their frontend has no public "
        "address: they stay without host names and keys of the others. Give the frontend an address with `public`."
    )


def test_nodes_with_a_route_or_with_known_addresses_are_not_warned_of():
    assert planned(spec(public=WantedPublic())).warnings == ()
    assert planned(spec(site=SimulatedSite(name="cloud"))).warnings == ()
    assert planned(spec(site=SimulatedSite(name="cloud", late=("public",)))).warnings == ()


def test_the_warning_is_repeated_only_when_members_change():
    state = applied(planned(spec()), EMPTY)
    assert planned(spec(), state).warnings == ()
    assert planned(spec(autostart=True), state).warnings == ()
    assert summaries(planned(spec(computes=5), state)) == ["Nodes that never know the members of their cluster"]


def test_a_repeated_update_after_a_crash_is_warned_of():
    plan = planned(spec())
    boots = applied(replace(plan, actions=tuple(each for each in plan.actions if each.verb != "update")), EMPTY)
    assert summaries(planned(spec(), boots)) == ["Nodes that never know the members of their cluster"]
