"""A plan as the documented JSON of ``plan --json``: for programs to read, not to apply (``--out`` is for that)."""

from pragmaspec.planning.plan import Action, PendingChange, Plan, PlannedSite
from pragmaspec.planning.wanted import Move
from pragmaspec.report.json_forms import JsonObject, json_text, problem_json, resource_json, site_json, where_json
from pragmaspec.report.plan.differences import differences
from pragmaspec.report.plan.rows import PlanLines

PLAN_JSON_FORMAT = 1


def plan_json_text(plan: Plan) -> str:
    """The plan as JSON with every key of docs/json.md, indented, ending with a newline."""
    return json_text(plan_json(plan))


def plan_json(plan: Plan) -> JsonObject:
    """The plan as nested dictionaries."""
    words = PlanLines(plan)
    counts: dict[str, int] = {}
    for action in plan.actions:
        counts[action.verb] = counts.get(action.verb, 0) + 1
    return {
        "kind": "plan",
        "format": PLAN_JSON_FORMAT,
        "tool": plan.tool,
        "spec": {"file": plan.spec_file, "sha256": plan.spec_sha256},
        "state": {"lineage": plan.lineage, "serial": plan.serial, "sha256": plan.state_sha256},
        "sites": [_site(planned) for planned in plan.sites],
        "changes": not plan.empty,
        "partial": plan.partial,
        "counts": dict(sorted(counts.items())),
        "drift": [{"address": drift.address, "kind": drift.kind, "detail": drift.detail} for drift in plan.drift],
        "moves": [_move(move) for move in plan.moves],
        "likely_moves": [_move(move) for move in plan.likely_moves],
        "warnings": [problem_json(problem) for problem in plan.warnings],
        "pending": [_pending(each) for each in plan.pending],
        "actions": [_action(action, words.images) for action in plan.actions],
    }


def _site(planned: PlannedSite) -> JsonObject:
    seen = planned.identity
    form = {"id": seen.id, "title": seen.title, "virt_type": seen.virt_type, "arch": seen.arch} if seen else None
    return {**site_json(planned.site), "identity": form}


def _move(move: Move) -> JsonObject:
    return {"kind": move.kind, "from": move.before, "to": move.after, "where": where_json(move.where)}


def _pending(each: PendingChange) -> JsonObject:
    return {
        "address": each.address,
        "reason": each.reason,
        "impact": each.impact,
        "until": each.until,
        "where": where_json(each.where),
    }


def _action(action: Action, images: dict[str, str]) -> JsonObject:
    before = action.before
    return {
        "key": action.key,
        "verb": action.verb,
        "address": action.address,
        "reason": action.reason,
        "impact": action.impact,
        "generation": action.generation,
        "where": where_json(action.where),
        "after": list(action.after),
        "way": action.way,
        "loses": list(action.loses),
        "drops": list(action.drops),
        "forgets_memory": action.forgets,
        "differences": list(differences(before, action.resource, images)) if before is not None else [],
        "before": resource_json(before) if before is not None else None,
        "resource": resource_json(action.resource),
    }
