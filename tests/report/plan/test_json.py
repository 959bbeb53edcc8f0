"""``plan --json``."""

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.planning.plan import Drift
from pragmaspec.planning.wanted import Move
from pragmaspec.report.json_forms import json_text
from pragmaspec.report.plan.json import plan_json
from tests.report.samples import ALLOCATION, first_plan, line, node, plan, rebooted

CASES = Path(__file__).parents[2] / "cases" / "report"
Golden = Callable[[Path, str], None]
DRIFT = (
    Drift(address=node(0).address, detail="is gone from the site", kind="gone"),
    Drift(address=ALLOCATION.address, detail="has lost network private", kind="changed"),
)


def test_plan_json(golden: Golden) -> None:
    golden(CASES / "plan-first.json", json_text(plan_json(first_plan())))
    changed = plan(*rebooted(node(0), node(0, memory_mib=2048)), drift=DRIFT, asked=False)
    golden(CASES / "plan-changed.json", json_text(plan_json(changed)))
    moved = replace(first_plan(), moves=(Move(before="old", after="hello", where=line(9)),))
    (move,) = plan_json(moved)["moves"]
    assert (move["kind"], move["from"], move["to"], move["where"]["line"]) == ("cluster", "old", "hello", 9)
