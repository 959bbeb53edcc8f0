"""What ``state`` shows: the records one line each, one record whole, kept versions, and who holds the lock."""

from collections.abc import Mapping, Sequence

from pragmaspec.recorded import Record, State
from pragmaspec.report import units
from pragmaspec.report.forms import Form, record_form
from pragmaspec.report.lists import STATUS_TONES, node_status
from pragmaspec.report.pen import Pen
from pragmaspec.report.show_text import show_text
from pragmaspec.report.table import Cell, table
from pragmaspec.store.ground import Holder, Version


def state_text(state: State, title: str, pen: Pen) -> str:
    """Where the state is, which it is, and every record."""
    head = f"{title}  ·  serial {state.serial}  ·  stack {state.lineage}"
    if not state.records:
        return pen.say(f"{head}  ·  nothing is recorded") + "\n"
    rows = [
        (
            Cell(text=record.address, tone="bold"),
            Cell(text=node_status(record), tone=STATUS_TONES[node_status(record)]),
            Cell(text=str(record.generation or ""), right=True),
            Cell(text=record.origin),
            Cell(text=record.problem.split("\n", 1)[0], tone="danger"),
        )
        for record in state.records
    ]
    return "\n".join([pen.say(head), "", *table(("address", "status", "rebuilt", "made as", "problem"), rows, pen)]) + "\n"


def state_form(state: State, title: str) -> Form:
    """The same for programs."""
    return {
        "kind": "state",
        "format": 1,
        "store": title,
        "lineage": state.lineage,
        "serial": state.serial,
        "records": [recorded_form(record, state.lineage) for record in state.records],
    }


def recorded_text(record: Record, lineage: str, images: Mapping[str, str], pen: Pen) -> str:
    """One record with everything that says which object at the site it is about."""
    mark = record.mark(lineage)
    facts = (("made as", record.origin), ("uuid", mark.uuid), ("creation", record.op))
    return show_text(record, images, pen, [(name, text) for name, text in facts if text])


def recorded_form(record: Record, lineage: str) -> Form:
    """One record for programs, with its identity."""
    return {**record_form(record), "op": record.op, "origin": record.origin or None, "uuid": record.mark(lineage).uuid}


def history_text(versions: Sequence[Version], title: str, pen: Pen) -> str:
    """One line per version that is kept, the one that stands first."""
    if not versions:
        return pen.say(f"{title} keeps no version of the state: nothing was ever recorded there.") + "\n"
    rows = [
        (
            Cell(text=str(version.serial), right=True, tone="bold"),
            Cell(text=version.written),
            Cell(text=units.size(version.size_bytes), right=True),
            Cell(text="this one stands" if at == 0 else "", tone="dim"),
        )
        for at, version in enumerate(versions)
    ]
    return "\n".join(table(("serial", "written", "size", ""), rows, pen)) + "\n"


def history_form(versions: Sequence[Version], title: str) -> Form:
    """The same for programs."""
    return {
        "kind": "history",
        "format": 1,
        "store": title,
        "versions": [
            {"serial": version.serial, "written": version.written, "size_bytes": version.size_bytes} for version in versions
        ],
    }


def holder_text(holder: Holder | None, title: str, pen: Pen) -> str:
    """Who holds the lock, in one sentence."""
    if holder is None:
        return pen.say(f"Nobody holds the lock of {title}.") + "\n"
    words = f"Lock {holder.id} of {title} is held by {holder_words(holder)}."
    return pen.say(words) + "\n"


def holder_words(holder: Holder) -> str:
    """``process 12 of ada on desk, since …, for `apply` ``."""
    process = f"process {holder.pid} of " if holder.pid else ""
    who = f"{holder.user or 'somebody'} on {holder.host or 'an unknown host'}"
    return f"{process}{who}, since {holder.since}, for `{holder.command}`"


def holder_form(holder: Holder | None, title: str) -> Form:
    """The same for programs."""
    held = (
        None
        if holder is None
        else {
            "id": holder.id,
            "pid": holder.pid,
            "user": holder.user,
            "host": holder.host,
            "since": holder.since,
            "command": holder.command,
        }
    )
    return {"kind": "lock", "format": 1, "store": title, "holder": held}
