"""What the sites say now beside what is recorded: the table of ``status``."""

from collections.abc import Mapping, Sequence

from pragmaspec.planning.drift.ownership import match_nodes
from pragmaspec.planning.observed import Observations, ObservedNode
from pragmaspec.planning.plan import Drift
from pragmaspec.report.json_forms import JsonObject
from pragmaspec.report.lists_text import STATUS_TONES, node_status
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, Row, table
from pragmaspec.resources import Node
from pragmaspec.state_model import Record, State
from pragmaspec.text import counted, duration

_SEEN_TONES: Mapping[str, Tone] = {"running": "add", "off": "dim", "paused": "change"}


def status_text(
    state: State, observations: Mapping[str, Observations], drift: Sequence[Drift], looked_s: float, pen: Style
) -> str:
    """One line per node, then one line that says whether all is as recorded, and done. ``looked_s``: how long the look took."""
    details = {each.address: each.detail for each in drift}
    seen = _seen(state, observations)
    rows: list[Row] = []
    for node, record in _nodes(state):
        status, machine = node_status(record), seen.get(record.original_address)
        now = machine.status if machine is not None else _unseen(node, observations)
        private, public = node.nic("private"), node.nic("public")
        rows.append(
            (
                Cell(text=node.name, tone="bold"),
                Cell(text=f"{now}{_explained(machine)}", tone=_SEEN_TONES.get(now, "danger")),
                Cell(text=status, tone=STATUS_TONES[status]),
                Cell(text=private.address if private else ""),
                Cell(text=public.address if public else ""),
                Cell(text=node.site),
                Cell(text=details.get(record.address, ""), tone="change"),
            )
        )
    if not rows:
        return "No nodes are recorded. `pragmaspec apply` makes those of the spec.\n"
    lines = table(("node", "now", "recorded", "private", "public", "site", "drift"), rows, pen)
    shown = {record.address for _, record in _nodes(state)}
    others = [each for each in drift if each.address not in shown]
    lines += [pen.say(f"{f'image {each.name}' if each.name else each.address}: {each.detail}") for each in others]
    return "\n".join([*lines, "", pen.say(_verdict(state, observations, drift, looked_s))]) + "\n"


def status_json(state: State, observations: Mapping[str, Observations], drift: Sequence[Drift]) -> JsonObject:
    """The same for programs."""
    seen = _seen(state, observations)
    return {
        "kind": "status",
        "format": 1,
        "sites": [
            {"name": name, "id": each.identity.id, "title": each.identity.title} for name, each in sorted(observations.items())
        ],
        "nodes": [
            {
                "address": record.address,
                "name": node.name,
                "cluster": node.cluster,
                "site": node.site,
                "recorded": node_status(record),
                **_observed_form(node, seen.get(record.original_address), observations),
            }
            for node, record in _nodes(state)
        ],
        "drift": [{"address": each.address, "kind": each.kind, "detail": each.detail} for each in drift],
    }


def _explained(machine: ObservedNode | None) -> str:
    """Why it is so, and that its memory is kept, where there is anything to say."""
    if machine is None:
        return ""
    said = [*filter(None, (machine.why,)), *(("memory saved",) if machine.saved else ())]
    return f" ({', '.join(said)})" if said else ""


def _observed_form(node: Node, machine: ObservedNode | None, observations: Mapping[str, Observations]) -> JsonObject:
    return {
        "observed": machine.status if machine is not None else _unseen(node, observations),
        "observed_reason": machine.why if machine is not None else "",
        "memory_saved": machine is not None and machine.saved,
        "differences": [each.detail for each in machine.differences] if machine is not None else [],
        "layers": [{"file": layer.file, "snapshot": layer.snapshot} for layer in machine.layers] if machine is not None else [],
        "additions": [*machine.additions, *machine.passing] if machine is not None else [],
    }


def _seen(state: State, observations: Mapping[str, Observations]) -> Mapping[str, ObservedNode]:
    """The machine of each record, by the address that it was made under."""
    closed = frozenset(each.op for each in state.closed_ops)
    nodes = (node for each in observations.values() for node in each.nodes)
    return match_nodes(state.records, nodes, closed)


def _unseen(node: Node, observations: Mapping[str, Observations]) -> str:
    return "gone" if node.site in observations else "not asked"


def _nodes(state: State) -> list[tuple[Node, Record]]:
    """The nodes in reading order, each with its record."""
    return [(node, record) for node in state.nodes() if (record := state.record(node.address)) is not None]


def _verdict(state: State, observations: Mapping[str, Observations], drift: Sequence[Drift], looked_s: float) -> str:
    sites = ", ".join(sorted(observations))
    looked = f"looked at {sites} in {duration(looked_s)}"
    words = [node_status(record) for _, record in _nodes(state)]
    unfinished = [
        f"{counted(count, 'node')} {'is' if count == 1 else 'are'} {word}"
        for word in ("pending", "degraded")
        if (count := words.count(word))
    ]
    if not drift and not unfinished:
        return f"All as recorded ({looked})."
    if drift:
        said = f"{counted(len(drift), 'difference')} ({looked})."
    else:
        said = f"All as recorded ({looked}), but {' and '.join(unfinished)}."
    return f"{said} `pragmaspec plan` shows what apply would do about it."
