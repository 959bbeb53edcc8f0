"""Guards against incomplete listings and changed site identities."""

import pytest
from msgspec.structs import replace

from pragmaspec.errors import PlanRefusedError
from pragmaspec.planning.drift.refresh import refreshed_state
from pragmaspec.planning.request import PlanRequest
from pragmaspec.state_model import SITE_OUTPUT, State
from tests.planning.builders import action_names, applied_state, cluster, observed, planned, wanted

HELLO = applied_state(cluster(computes=7))


def missing(count: int, state: State = HELLO) -> dict[str, object]:
    """Return the site without ``count`` of the ten recorded objects."""
    seen = observed(HELLO)
    return {"lab": replace(seen, nodes=seen.nodes[count:])}


def test_few_missing_objects_are_accepted() -> None:
    assert len(refreshed_state(HELLO, missing(3), accept_missing=False).gone) == 3


def test_many_missing_objects_are_refused() -> None:
    with pytest.raises(PlanRefusedError) as caught:
        refreshed_state(HELLO, missing(4), accept_missing=False)
    (problem,) = caught.value.problems
    assert problem.summary == "Too many objects are missing"
    assert problem.detail.startswith("4 of 10 objects recorded at site lab are not in its listing.")
    assert "--accept-missing" in problem.detail


def test_accept_missing_accepts_missing_objects() -> None:
    assert len(refreshed_state(HELLO, missing(8), accept_missing=True).gone) == 8


def test_limit_of_missing_objects_grows_with_the_site() -> None:
    large = applied_state(cluster(computes=20))
    seen = observed(large)
    gone = refreshed_state(large, {"lab": replace(seen, nodes=seen.nodes[5:])}, accept_missing=False).gone
    assert len(gone) == 5


def made_at(site_id: str) -> State:
    record = HELLO.record("lab/hello/allocation")
    assert record is not None
    return HELLO.with_record(replace(record, outputs=((SITE_OUTPUT, site_id),)))


def test_changed_site_identity_is_refused_first() -> None:
    assert refreshed_state(made_at("lab"), {"lab": observed(HELLO)}, accept_missing=False).drift == ()
    with pytest.raises(PlanRefusedError) as caught:
        refreshed_state(made_at("the old host"), {"lab": observed(HELLO)}, accept_missing=False)
    (problem,) = caught.value.problems
    assert problem.summary == "Site identity changed"
    assert "were created at the old host, and the site is now libvirt at lab (lab)" in problem.detail


def test_accept_missing_accepts_a_changed_identity() -> None:
    (drift,) = refreshed_state(made_at("the old host"), {"lab": observed(HELLO)}).drift
    assert (drift.address, drift.kind) == ("lab/hello/allocation", "changed")
    plan = planned(wanted(cluster(computes=7)), made_at("the old host"), request=PlanRequest(accept_missing=True))
    assert action_names(plan) == ["allocate hello"], "which records the new one"


def test_only_ready_objects_count_as_missing() -> None:
    pending = HELLO.with_records(replace(record, status="pending") for record in HELLO.records)
    assert refreshed_state(pending, missing(8), accept_missing=False).gone == frozenset()
