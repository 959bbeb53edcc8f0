"""A plan is a value: it goes to a file and comes back the same."""

import msgspec
import pytest

from pragmaspec.planning.plan import decode_plan, encode_plan
from tests.planning.world import EMPTY, cluster, planned, seen, settled, wanted


def test_a_plan_survives_its_file() -> None:
    state = settled(cluster())
    for plan in (
        planned(wanted(cluster())),
        planned(wanted(cluster(computes=4)), state, observations={"lab": seen(state, "hello-compute-0")}),
    ):
        assert decode_plan(encode_plan(plan)) == plan
        assert encode_plan(decode_plan(encode_plan(plan))) == encode_plan(plan)


def test_an_empty_plan_says_so() -> None:
    assert planned(wanted(), EMPTY).empty
    assert not planned(wanted(cluster())).empty


@pytest.mark.parametrize("data", [b"", b"{}", b'{"lineage": 3}'])
def test_what_is_not_a_plan_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_plan(data)
