"""The documented JSON of ``plan --json``. It is not a saved plan (``--out``)."""

from pragmaspec.frozen import to_plain
from pragmaspec.planning.plan import Action, Plan, PlannedSite
from pragmaspec.planning.wanted import Move
from pragmaspec.report.json_forms import JsonObject, fields_json, problem_json, resource_json, site_json
from pragmaspec.report.plan.differences import differences
from pragmaspec.report.plan.rows import PlanLines

PLAN_JSON_FORMAT = 1


def plan_json(plan: Plan) -> JsonObject:
    """Return the document of a plan."""
    images = PlanLines(plan).images
    counts: dict[str, int] = {}
    for action in plan.actions:
        counts[action.verb] = counts.get(action.verb, 0) + 1
    return {
        "kind": "plan",
        "format": PLAN_JSON_FORMAT,
        "tool": plan.tool,
        "spec": {"file": plan.spec_file, "sha256": plan.spec_sha256},
        "state": {"lineage": plan.lineage, "serial": plan.serial, "sha256": plan.state_sha256},
        "sites": [_site_json(planned) for planned in plan.sites],
        "changes": not plan.empty,
        "partial": plan.partial,
        "counts": dict(sorted(counts.items())),
        "drift": [fields_json(drift, "address", "kind", "detail") for drift in plan.drift],
        "moves": [_move_json(move) for move in plan.moves],
        "likely_moves": [_move_json(move) for move in plan.likely_moves],
        "warnings": [problem_json(problem) for problem in plan.warnings],
        "pending": [to_plain(change) for change in plan.pending],
        "actions": [_action_json(action, images) for action in plan.actions],
    }


def _site_json(planned: PlannedSite) -> JsonObject:
    return {**site_json(planned.site), "identity": to_plain(planned.identity)}


def _move_json(move: Move) -> JsonObject:
    return {"kind": move.kind, "from": move.before, "to": move.after, "where": to_plain(move.where)}


def _action_json(action: Action, images: dict[str, str]) -> JsonObject:
    before = action.before
    return {
        **fields_json(action, "key", "verb", "address", "reason", "impact", "generation", "where", "after"),
        **fields_json(action, "way", "loses", "drops", "discards"),
        "forgets_memory": action.forgets,
        "differences": list(differences(before, action.resource, images)) if before is not None else [],
        "before": resource_json(before) if before is not None else None,
        "resource": resource_json(action.resource),
    }
