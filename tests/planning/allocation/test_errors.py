"""Advice for a named VLAN or address that another cluster of the stack uses."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.wanted import WantedCluster, WantedPublic
from tests.planning.builders import applied_state, cluster, planned, wanted

ADDRESS = WantedPublic(kind="address", address="192.168.122.30")
HELLO = applied_state(cluster(public=ADDRESS, vlan=30))


def _told(*clusters: WantedCluster) -> str:
    with pytest.raises(PlanError) as caught:
        planned(wanted(*clusters), HELLO)
    return " ".join(problem.detail for problem in caught.value.problems)


@pytest.mark.parametrize("more", [{"public": ADDRESS}, {"vlan": 30}], ids=str)
def test_advice_for_a_removed_cluster_is_a_rename(more: dict[str, object]) -> None:
    message = _told(cluster("world", **more))
    assert "`moved: [{from: hello, to: world}]`" in message
    assert "`pragmaspec clean hello --shutdown`" in message
    assert "Name another" not in message


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"vlan": 40, "public": ADDRESS}, {"vlan": 30}),
        ({"vlan": 30, "public": WantedPublic(kind="none")}, {"public": ADDRESS}),
        ({"vlan": 30, "public": replace(ADDRESS, address="192.168.122.31")}, {"public": ADDRESS}),
    ],
    ids=str,
)
def test_advice_for_a_value_to_release_is_a_targeted_apply(mine: dict[str, object], theirs: dict[str, object]) -> None:
    assert "`pragmaspec apply --target hello`" in _told(cluster(**mine), cluster("world", **theirs))


@pytest.mark.parametrize("theirs", [{"vlan": 30}, {"public": ADDRESS}], ids=str)
def test_value_kept_by_another_cluster_is_refused(theirs: dict[str, object]) -> None:
    assert "Name another" in _told(cluster(), cluster("world", **theirs))
