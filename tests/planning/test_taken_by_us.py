"""A VLAN or address that the spec names, while another cluster of the same stack has it."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanError
from pragmaspec.planning.wanted import WantedCluster, WantedPublic
from tests.planning.world import cluster, planned, settled, wanted

ADDRESS = WantedPublic(kind="address", address="192.168.122.30")
HELLO = settled(cluster(public=ADDRESS, vlan=30))


def _told(*clusters: WantedCluster) -> str:
    with pytest.raises(PlanError) as caught:
        planned(wanted(*clusters), HELLO)
    return " ".join(problem.detail for problem in caught.value.problems)


@pytest.mark.parametrize("more", [{"public": ADDRESS}, {"vlan": 30}], ids=str)
def test_a_rename_is_told_how_to_keep_it(more: dict[str, object]) -> None:
    said = _told(cluster("world", **more))
    assert "`moved: [{from: hello, to: world}]`" in said
    assert "`pragmaspec clean hello --shutdown`" in said
    assert "Name another" not in said


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"vlan": 40, "public": ADDRESS}, {"vlan": 30}),
        ({"vlan": 30, "public": WantedPublic(kind="none")}, {"public": ADDRESS}),
        ({"vlan": 30, "public": replace(ADDRESS, address="192.168.122.31")}, {"public": ADDRESS}),
    ],
    ids=str,
)
def test_what_is_given_back_by_the_spec_is_given_back_first(mine: dict[str, object], theirs: dict[str, object]) -> None:
    assert "`pragmaspec apply --target hello`" in _told(cluster(**mine), cluster("world", **theirs))


@pytest.mark.parametrize("theirs", [{"vlan": 30}, {"public": ADDRESS}], ids=str)
def test_what_another_keeps_is_not_to_be_had(theirs: dict[str, object]) -> None:
    assert "Name another" in _told(cluster(), cluster("world", **theirs))
