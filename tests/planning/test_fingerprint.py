"""Fingerprints of observed objects in saved plans."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.fingerprint import changed_since, fingerprints
from pragmaspec.planning.observed import Difference, Layer
from tests.planning.builders import EMPTY, applied_state, cluster, observed, observed_with, planned, wanted

HELLO = applied_state(cluster())
PLAN = planned(wanted(cluster(frontend=cluster().frontend, computes=3)), HELLO)
NODE = "lab/hello/node/hello-compute-1"
BEFORE = {"lab": observed(HELLO)}


def changed(after: object, actions: object = PLAN.actions, state: object = HELLO) -> tuple[str, ...]:
    return changed_since(fingerprints(actions, HELLO, BEFORE), actions, state, {"lab": after})


def test_same_objects_have_the_same_fingerprints() -> None:
    assert changed(observed(HELLO)) == ()
    assert changed(replace(observed(HELLO), nodes=tuple(reversed(observed(HELLO).nodes)))) == ()


def test_only_touched_objects_count() -> None:
    assert {action.address for action in PLAN.actions} >= {NODE, "lab/hello/node/hello-compute-2"}
    assert changed(observed_with(HELLO, "hello-compute-1", status="off")) == (NODE,)
    assert changed(observed_with(HELLO, "hello-compute-1")) == (NODE,)
    boot = [action for action in PLAN.actions if action.verb == "boot"]
    assert changed(observed_with(HELLO, "hello-compute-1", status="off"), boot) == ()


@pytest.mark.parametrize(
    "facts",
    [
        {"status": "paused", "why": "by a user"},
        {"saved": True},
        {"differences": (Difference("memory is 256 MiB in its definition, recorded 1024 MiB"),)},
        {"layers": (Layer(file="/pool/x.s1", snapshot="s1"),)},
        {"additions": ("disk vdc /x",)},
    ],
)
def test_every_observed_fact_of_a_machine_counts(facts: dict[str, object]) -> None:
    assert changed(observed_with(HELLO, "hello-compute-1", **facts)) == (NODE,)


def test_object_created_meanwhile_counts() -> None:
    larger = applied_state(cluster(computes=3))
    assert changed(observed(larger)) == ("lab/hello/node/hello-compute-2",)


def test_pending_objects_do_not_count() -> None:
    record = HELLO.record(NODE)
    assert record is not None
    pending = HELLO.with_record(replace(record, status="pending"))
    assert changed(observed_with(HELLO, "hello-compute-1", status="off"), state=pending) == ()


def test_unobserved_sites_have_no_fingerprints() -> None:
    assert fingerprints(PLAN.actions, HELLO, {}) == ()
    assert changed_since((), PLAN.actions, EMPTY, {}) == ()
