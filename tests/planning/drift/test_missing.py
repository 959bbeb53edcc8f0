"""A listing from which much is missing at once is not believed."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanRefusedError
from pragmaspec.planning.drift.refresh import refreshed_state
from pragmaspec.planning.request import PlanRequest
from pragmaspec.state_model import SITE_OUTPUT, State
from tests.planning.world import acts, cluster, observed, planned, settled, wanted

HELLO = settled(cluster(computes=7))


def missing(count: int, state: State = HELLO) -> dict[str, object]:
    """The site without so many of the ten recorded objects."""
    sight = observed(HELLO)
    return {"lab": replace(sight, nodes=sight.nodes[count:])}


def test_a_few_objects_may_be_gone() -> None:
    assert len(refreshed_state(HELLO, missing(3), accept_missing=False).gone) == 3


def test_many_at_once_are_not_believed() -> None:
    with pytest.raises(PlanRefusedError) as caught:
        refreshed_state(HELLO, missing(4), accept_missing=False)
    (problem,) = caught.value.problems
    assert problem.summary == "Too many objects are missing"
    assert problem.detail.startswith("4 of 10 objects recorded at site lab are not in its listing.")
    assert "--accept-missing" in problem.detail


def test_unless_somebody_has_looked() -> None:
    assert len(refreshed_state(HELLO, missing(8), accept_missing=True).gone) == 8


def test_of_a_large_site_more_may_be_gone() -> None:
    large = settled(cluster(computes=20))
    sight = observed(large)
    gone = refreshed_state(large, {"lab": replace(sight, nodes=sight.nodes[5:])}, accept_missing=False).gone
    assert len(gone) == 5


def made_at(site_id: str) -> State:
    record = HELLO.record("lab/hello/allocation")
    assert record is not None
    return HELLO.with_record(replace(record, outputs=((SITE_OUTPUT, site_id),)))


def test_another_site_under_the_same_name_is_refused_before_anything_is_compared() -> None:
    assert refreshed_state(made_at("lab"), {"lab": observed(HELLO)}, accept_missing=False).drift == ()
    with pytest.raises(PlanRefusedError) as caught:
        refreshed_state(made_at("the old host"), {"lab": observed(HELLO)}, accept_missing=False)
    (problem,) = caught.value.problems
    assert problem.summary == "Site identity changed"
    assert "were created at the old host, and the site is now libvirt at lab (lab)" in problem.detail


def test_a_site_that_was_set_up_anew_is_taken_when_somebody_says_so() -> None:
    (drift,) = refreshed_state(made_at("the old host"), {"lab": observed(HELLO)}).drift
    assert (drift.address, drift.kind) == ("lab/hello/allocation", "changed")
    plan = planned(wanted(cluster(computes=7)), made_at("the old host"), request=PlanRequest(accept_missing=True))
    assert acts(plan) == ["allocate hello"], "which records the new one"


def test_only_what_was_ready_counts() -> None:
    pending = HELLO.with_records(replace(record, status="pending") for record in HELLO.records)
    assert refreshed_state(pending, missing(8), accept_missing=False).gone == frozenset()
