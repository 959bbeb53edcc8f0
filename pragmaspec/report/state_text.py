"""What ``state`` shows: the records one line each, one record whole, kept versions, and who holds the lock.

Everything that is recorded of one address, one line per fact.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pragmaspec.report.json_forms import JsonObject, record_json
from pragmaspec.report.lists_text import STATUS_TONES, node_status
from pragmaspec.report.plan.differences import grant_text, network_text
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, line, table, widths
from pragmaspec.resources import Allocation, Node, StagedImage
from pragmaspec.state.backends.base import LockHolder, StateVersion
from pragmaspec.state_model import Record, State
from pragmaspec.text import duration, memory, size


def show_text(record: Record, images: Mapping[str, str], pen: Style, more: Iterable[tuple[str, str]] = ()) -> str:
    """The record for people; ``images`` names digests, ``more`` are further facts."""
    resource = record.resource
    status = node_status(record)
    facts: list[tuple[str, str, Tone]] = [("address", record.address, "bold"), ("status", status, STATUS_TONES[status])]
    if record.problem:
        facts.append(("problem", record.problem.split("\n", 1)[0], "danger"))
    if isinstance(resource, Node):
        facts += [(name, text, "plain") for name, text in _node(resource, record, images)]
    elif isinstance(resource, Allocation):
        facts += [(name, text, "plain") for name, text in _allocation(resource)]
    else:
        facts += [(name, text, "plain") for name, text in _image(resource)]
    facts += [(name, text, "dim") for name, text in (*record.outputs, *more)]
    rows = [(Cell(text=name, tone="dim"), Cell(text=text, tone=tone)) for name, text, tone in facts]
    fields = widths(rows, pen)
    return "\n".join(line(row, fields, pen) for row in rows) + "\n"


def _node(node: Node, record: Record, images: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "role", f"{node.role} {node.index}" if node.role == "compute" else node.role
    yield "cpus", str(node.cpus)
    yield "memory", memory(node.memory_mib)
    yield "disk", size(node.disk_bytes)
    yield "image", f"{images[node.image]} {node.image[:16]}" if node.image in images else node.image[:16]
    if node.firmware != "bios":
        yield "firmware", node.firmware
    for nic in node.nics:
        gateway = f" · gateway {nic.gateway}" if nic.gateway else ""
        dns = f" · dns {', '.join(nic.dns)}" if nic.dns else ""
        mtu = f" · mtu {nic.mtu}" if nic.mtu != 1500 else ""  # noqa: PLR2004 - the usual one is not worth saying
        yield nic.network, f"{nic.address}/{nic.prefix} · {nic.mac}{gateway}{dns}{mtu}"
    if node.readiness.when == "none":
        yield "ready when", "booted; nothing is waited for"
    else:
        yield "ready when", f"{node.readiness.when}, within {duration(node.readiness.timeout_s)}"
    yield "generation", str(record.generation)
    if node.autostart:
        yield "autostart", "yes"
    if node.protect:
        yield "protected", "yes"


def _allocation(allocation: Allocation) -> Iterator[tuple[str, str]]:
    for network in allocation.networks:
        yield ("private" if network.name == "private" else "network"), network_text(network)
    for grant in allocation.public:
        yield "public", f"{grant_text(grant)} · for {grant.node}"
    if allocation.protect:
        yield "protected", "yes"


def _image(image: StagedImage) -> Iterator[tuple[str, str]]:
    yield "name", image.name
    yield "digest", image.digest
    yield "format", image.format
    yield "size", f"{size(image.transfer_bytes)}, a disk of {size(image.virtual_size_bytes)}"
    if image.kernel is not None:
        yield "boots", f"kernel and initrd beside the disk, `{image.cmdline}`"


def state_text(state: State, title: str, pen: Style) -> str:
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


def state_json(state: State, title: str) -> JsonObject:
    """The same for programs."""
    return {
        "kind": "state",
        "format": 1,
        "store": title,
        "lineage": state.lineage,
        "serial": state.serial,
        "records": [recorded_json(record, state.lineage) for record in state.records],
    }


def recorded_text(record: Record, lineage: str, images: Mapping[str, str], pen: Style) -> str:
    """One record with everything that says which object at the site it is about."""
    mark = record.mark(lineage)
    facts = (("made as", record.origin), ("uuid", mark.uuid), ("creation", record.op))
    return show_text(record, images, pen, [(name, text) for name, text in facts if text])


def recorded_json(record: Record, lineage: str) -> JsonObject:
    """One record for programs, with its identity."""
    return {**record_json(record), "op": record.op, "origin": record.origin or None, "uuid": record.mark(lineage).uuid}


def history_text(versions: Sequence[StateVersion], title: str, pen: Style) -> str:
    """One line per version that is kept, the one that stands first."""
    if not versions:
        return pen.say(f"{title} keeps no version of the state: nothing was ever recorded there.") + "\n"
    rows = [
        (
            Cell(text=str(version.serial), right=True, tone="bold"),
            Cell(text=version.written),
            Cell(text=size(version.size_bytes), right=True),
            Cell(text="this one stands" if at == 0 else "", tone="dim"),
        )
        for at, version in enumerate(versions)
    ]
    return "\n".join(table(("serial", "written", "size", ""), rows, pen)) + "\n"


def history_json(versions: Sequence[StateVersion], title: str) -> JsonObject:
    """The same for programs."""
    return {
        "kind": "history",
        "format": 1,
        "store": title,
        "versions": [
            {"serial": version.serial, "written": version.written, "size_bytes": version.size_bytes} for version in versions
        ],
    }


def holder_text(holder: LockHolder | None, title: str, pen: Style) -> str:
    """Who holds the lock, in one sentence."""
    if holder is None:
        return pen.say(f"Nobody holds the lock of {title}.") + "\n"
    words = f"Lock {holder.id} of {title} is held by {holder_description(holder)}."
    return pen.say(words) + "\n"


def holder_description(holder: LockHolder) -> str:
    """``process 12 of ada on desk, since …, for `apply` ``."""
    process = f"process {holder.pid} of " if holder.pid else ""
    who = f"{holder.user or 'somebody'} on {holder.host or 'an unknown host'}"
    return f"{process}{who}, since {holder.since}, for `{holder.command}`"


def holder_json(holder: LockHolder | None, title: str) -> JsonObject:
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
