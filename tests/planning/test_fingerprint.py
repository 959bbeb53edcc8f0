"""What a plan saw is what must be there when it is applied."""

import pytest
from msgspec.structs import replace

from pragmaspec.planning.fingerprint import changed_since, fingerprints
from pragmaspec.planning.observed import Difference, Layer
from tests.planning.world import EMPTY, cluster, observed, planned, seen, settled, wanted

HELLO = settled(cluster())
PLAN = planned(wanted(cluster(frontend=cluster().frontend, computes=3)), HELLO)
NODE = "lab/hello/node/hello-compute-1"
BEFORE = {"lab": observed(HELLO)}


def changed(after: object, actions: object = PLAN.actions, state: object = HELLO) -> tuple[str, ...]:
    return changed_since(fingerprints(actions, HELLO, BEFORE), actions, state, {"lab": after})


def test_nothing_has_changed_where_nothing_has() -> None:
    assert changed(observed(HELLO)) == ()
    assert changed(replace(observed(HELLO), nodes=tuple(reversed(observed(HELLO).nodes)))) == ()


def test_only_what_is_touched_counts() -> None:
    assert {action.address for action in PLAN.actions} >= {NODE, "lab/hello/node/hello-compute-2"}
    assert changed(seen(HELLO, "hello-compute-1", status="off")) == (NODE,)
    assert changed(seen(HELLO, "hello-compute-1")) == (NODE,)
    boot = [action for action in PLAN.actions if action.verb == "boot"]
    assert changed(seen(HELLO, "hello-compute-1", status="off"), boot) == ()


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
def test_everything_that_is_seen_of_a_machine_counts(facts: dict[str, object]) -> None:
    assert changed(seen(HELLO, "hello-compute-1", **facts)) == (NODE,)


def test_what_was_to_be_made_and_is_there_by_now_has_changed() -> None:
    larger = settled(cluster(computes=3))
    assert changed(observed(larger)) == ("lab/hello/node/hello-compute-2",)


def test_how_far_something_pending_has_come_is_found_out_later() -> None:
    record = HELLO.record(NODE)
    assert record is not None
    pending = HELLO.with_record(replace(record, status="pending"))
    assert changed(seen(HELLO, "hello-compute-1", status="off"), state=pending) == ()


def test_a_site_that_nobody_looked_at_says_nothing() -> None:
    assert fingerprints(PLAN.actions, HELLO, {}) == ()
    assert changed_since((), PLAN.actions, EMPTY, {}) == ()
