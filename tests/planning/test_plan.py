"""Plans as JSON files."""

import msgspec
import pytest

from pragmaspec.planning.plan import Plan
from tests.planning.builders import EMPTY, applied_state, cluster, observed_with, planned, wanted


def test_plan_round_trips_through_json() -> None:
    state = applied_state(cluster())
    for plan in (
        planned(wanted(cluster())),
        planned(wanted(cluster(computes=4)), state, observations={"lab": observed_with(state, "hello-compute-0")}),
    ):
        data = msgspec.json.encode(plan, order="sorted")
        decoded = msgspec.json.decode(data, type=Plan)
        assert decoded == plan
        assert msgspec.json.encode(decoded, order="sorted") == data


def test_plan_without_actions_is_empty() -> None:
    assert planned(wanted(), EMPTY).empty
    assert not planned(wanted(cluster())).empty


@pytest.mark.parametrize("data", [b"", b"{}", b'{"lineage": 3}'])
def test_other_json_is_not_a_plan(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        msgspec.json.decode(data, type=Plan)
