"""The output of ``status``: observed and recorded nodes side by side."""

from collections.abc import Mapping, Sequence

from pragmaspec.planning.drift.ownership import match_nodes
from pragmaspec.planning.observed import Observations, ObservedNode
from pragmaspec.planning.plan import Drift
from pragmaspec.report.json_forms import JsonObject, fields_json
from pragmaspec.report.lists_text import STATUS_TONES, node_status
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, Row, lines_text, table
from pragmaspec.report.unknown import shown
from pragmaspec.resources import Node
from pragmaspec.state_model import Record, State
from pragmaspec.text import counted, duration

_OBSERVED_TONES: Mapping[str, Tone] = {"running": "add", "off": "dim", "paused": "change"}


def status_text(
    state: State, observations: Mapping[str, Observations], drift: Sequence[Drift], seconds: float, style: Style
) -> str:
    """Return a table of nodes, other drift, and a summary. ``seconds``: duration of the observation."""
    details = {each.address: each.detail for each in drift}
    machines = _machines(state, observations)
    rows: list[Row] = []
    for node, record in _nodes(state):
        status, machine = node_status(record), machines.get(record.original_address)
        observed = machine.status if machine is not None else _unobserved(node, observations)
        private, public = node.nic("private"), node.nic("public")
        rows.append(
            (
                Cell(text=node.name, tone="bold"),
                Cell(text=f"{observed}{_explanation(machine)}", tone=_OBSERVED_TONES.get(observed, "danger")),
                Cell(text=status, tone=STATUS_TONES[status]),
                Cell(text=shown(private.address) if private else ""),
                Cell(text=shown(public.address) if public else ""),
                Cell(text=node.site),
                Cell(text=details.get(record.address, ""), tone="change"),
            )
        )
    if not rows:
        return "No nodes are recorded. `pragmaspec apply` creates those of the spec.\n"
    lines = table(("node", "observed", "recorded", "private", "public", "site", "drift"), rows, style)
    listed = {record.address for _, record in _nodes(state)}
    others = [each for each in drift if each.address not in listed]
    lines += [style.safe(f"{f'image {each.name}' if each.name else each.address}: {each.detail}") for each in others]
    return lines_text([*lines, "", style.safe(_summary(state, observations, drift, seconds))])


def status_json(state: State, observations: Mapping[str, Observations], drift: Sequence[Drift]) -> JsonObject:
    """Return the document of the status."""
    machines = _machines(state, observations)
    return {
        "kind": "status",
        "format": 1,
        "sites": [{"name": name, **fields_json(each.identity, "id", "title")} for name, each in sorted(observations.items())],
        "nodes": [
            {
                **fields_json(node, "address", "name", "cluster", "site"),
                "recorded": node_status(record),
                **_observed_json(node, machines.get(record.original_address), observations),
            }
            for node, record in _nodes(state)
        ],
        "drift": [fields_json(each, "address", "kind", "detail") for each in drift],
    }


def _explanation(machine: ObservedNode | None) -> str:
    if machine is None:
        return ""
    parts = [*filter(None, (machine.why,)), *(("memory saved",) if machine.saved else ())]
    return f" ({', '.join(parts)})" if parts else ""


def _observed_json(node: Node, machine: ObservedNode | None, observations: Mapping[str, Observations]) -> JsonObject:
    return {
        "observed": machine.status if machine is not None else _unobserved(node, observations),
        "observed_reason": machine.why if machine is not None else "",
        "memory_saved": machine is not None and machine.saved,
        "differences": [each.detail for each in machine.differences] if machine is not None else [],
        "layers": [fields_json(layer, "file", "snapshot") for layer in machine.layers] if machine is not None else [],
        "additions": [*machine.additions, *machine.passing] if machine is not None else [],
    }


def _machines(state: State, observations: Mapping[str, Observations]) -> Mapping[str, ObservedNode]:
    """Return the machines of records, by the address that they were created under."""
    closed = frozenset(each.op for each in state.closed_ops)
    nodes = (node for each in observations.values() for node in each.nodes)
    return match_nodes(state.records, nodes, closed)


def _unobserved(node: Node, observations: Mapping[str, Observations]) -> str:
    return "gone" if node.site in observations else "not asked"


def _nodes(state: State) -> list[tuple[Node, Record]]:
    """Return the nodes in reading order, with their records."""
    return [(node, record) for node in state.nodes() if (record := state.record(node.address)) is not None]


def _summary(state: State, observations: Mapping[str, Observations], drift: Sequence[Drift], seconds: float) -> str:
    sites = ", ".join(sorted(observations)) or "no site"
    observed = f"{sites} observed in {duration(seconds)}"
    statuses = [node_status(record) for _, record in _nodes(state)]
    unfinished = [
        f"{counted(count, 'node')} {'is' if count == 1 else 'are'} {status}"
        for status in ("pending", "degraded")
        if (count := statuses.count(status))
    ]
    if not drift and not unfinished:
        return f"No drift ({observed})."
    if drift:
        finding = f"{counted(len(drift), 'difference')} ({observed})."
    else:
        finding = f"No drift ({observed}), but {' and '.join(unfinished)}."
    return f"{finding} `pragmaspec plan` shows the repair."
