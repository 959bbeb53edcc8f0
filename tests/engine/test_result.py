import pytest
from msgspec.structs import replace

from pragmaspec.engine.result import Failure, incomplete_error
from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.wanted import WantedCluster, WantedNetwork, WantedPublic
from tests.engine.fake_provider import WANTED
from tests.state.samples import ALLOCATION, act, node


def _said(detail: str, **named: object) -> str:
    wanted = replace(WANTED, clusters=(replace(WANTED.clusters[0], **named),))
    error = SiteConflictError("Somebody else holds it", detail)
    return str(incomplete_error([Failure(act("allocate", ALLOCATION), error)], (), None, wanted))


@pytest.mark.parametrize(
    ("named", "detail", "words"),
    [
        ({"vlan": 20}, "VLAN 20 at site lab is held by ann.", "VLAN 20"),
        ({"public": WantedPublic(kind="address", address="192.0.2.1")}, "address 192.0.2.1 is held by ann.", "address 192.0.2.1"),
        ({"cidr": "10.1.0.0/16"}, "range 10.1.0.0/16, which ann holds", "range 10.1.0.0/16"),
        ({"networks": (WantedNetwork(name="x", cidr="10.2.0.0/16"),)}, "range 10.2.0.0/16: ann", "range 10.2.0.0/16"),
    ],
)
def test_after_a_lost_race_nothing_else_can_be_chosen_where_the_spec_names_it(
    named: dict[str, object], detail: str, words: str
) -> None:
    said = _said(detail, **named)
    assert f"The spec names {words}, so that no other can be chosen" in said
    assert "chooses another" not in said
    assert "ann" in said


@pytest.mark.parametrize("detail", ["VLAN 120 is held by ann.", "VLAN 201 is held by ann.", "address 20.1.1.20 is held by ann."])
def test_what_the_spec_leaves_open_is_chosen_anew(detail: str) -> None:
    assert "chooses another" in _said(detail, vlan=20)


def test_a_node_s_name_is_nothing_to_choose() -> None:
    error = SiteConflictError("Another machine has the node's name", "It exists.")
    said = str(incomplete_error([Failure(act("boot", node(0)), error)], ()))
    assert "came first" not in said


def test_a_cluster_that_left_the_spec_names_nothing() -> None:
    error = SiteConflictError("taken", "VLAN 20")
    without = replace(WANTED, clusters=tuple[WantedCluster, ...]())
    assert "chooses another" in str(incomplete_error([Failure(act("allocate", ALLOCATION), error)], (), None, without))
