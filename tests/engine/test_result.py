import pytest
from msgspec.structs import replace

from pragmaspec.engine.result import Failure, incomplete_error
from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.wanted import WantedCluster, WantedNetwork, WantedPublic
from tests.engine.fake_provider import WANTED
from tests.state.samples import ALLOCATION, act, node


def _error_text(detail: str, **fixed: object) -> str:
    wanted = replace(WANTED, clusters=(replace(WANTED.clusters[0], **fixed),))
    error = SiteConflictError("It is held by another stack", detail)
    return str(incomplete_error([Failure(act("allocate", ALLOCATION), error)], (), None, wanted))


@pytest.mark.parametrize(
    ("fixed", "detail", "words"),
    [
        ({"vlan": 20}, "VLAN 20 at site lab is held by ann.", "VLAN 20"),
        ({"public": WantedPublic(kind="address", address="192.0.2.1")}, "address 192.0.2.1 is held by ann.", "address 192.0.2.1"),
        ({"cidr": "10.1.0.0/16"}, "range 10.1.0.0/16, which ann holds", "range 10.1.0.0/16"),
        ({"networks": (WantedNetwork(name="x", cidr="10.2.0.0/16"),)}, "range 10.2.0.0/16: ann", "range 10.2.0.0/16"),
    ],
)
def test_a_conflict_over_a_value_fixed_in_the_spec_names_that_value(fixed: dict[str, object], detail: str, words: str) -> None:
    text = _error_text(detail, **fixed)
    assert f"The spec names {words}, so that no other can be chosen" in text
    assert "chooses another" not in text
    assert "ann" in text


@pytest.mark.parametrize("detail", ["VLAN 120 is held by ann.", "VLAN 201 is held by ann.", "address 20.1.1.20 is held by ann."])
def test_a_conflict_over_an_automatic_value_is_resolved_by_a_new_plan(detail: str) -> None:
    assert "chooses another" in _error_text(detail, vlan=20)


def test_a_node_name_conflict_does_not_recommend_a_new_plan() -> None:
    error = SiteConflictError("Another machine has the node's name", "It exists.")
    text = str(incomplete_error([Failure(act("boot", node(0)), error)], ()))
    assert "came first" not in text


def test_a_cluster_removed_from_the_spec_fixes_no_values() -> None:
    error = SiteConflictError("taken", "VLAN 20")
    without = replace(WANTED, clusters=tuple[WantedCluster, ...]())
    assert "chooses another" in str(incomplete_error([Failure(act("allocate", ALLOCATION), error)], (), None, without))
