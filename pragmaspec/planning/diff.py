"""Desired against recorded: what changed, field by field."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.frozen import Frozen
from pragmaspec.planning.desired import Desired
from pragmaspec.resources import Node, Resource
from pragmaspec.state_model import Record, State


class Change(Frozen, frozen=True):
    """What differs at one address. ``before`` None: new; ``after`` None: no longer wanted; else ``fields`` names what changed."""

    before: Record | None
    after: Resource | None
    fields: tuple[str, ...] = ()
    where: Where | None = None

    @property
    def address(self) -> str:
        """The address both sides share."""
        if self.after is not None:
            return self.after.address
        return self.before.address if self.before is not None else ""


def changes(desired: Iterable[Desired], state: State, drifted: frozenset[str] = frozenset()) -> list[Change]:
    """Everything that differs, desired resources first in their order, then what is no longer wanted by address.

    ``drifted`` are addresses where the site differs from what was recorded: there is something to do or to write down even
    where the facts are what the spec wants.
    """
    found: list[Change] = []
    recorded: Mapping[str, Record] = {record.address: record for record in state.records}
    wanted: set[str] = set()
    for asked, where in desired:
        address = asked.address
        wanted.add(address)
        record = recorded.get(address)
        if record is None:
            found.append(Change(before=None, after=asked, where=where))
            continue
        resource = _reachable(asked, record)
        if record.status != "ready" or record.resource != resource or address in drifted:
            found.append(Change(before=record, after=resource, fields=changed_fields(record.resource, resource), where=where))
    found.extend(Change(before=recorded[address], after=None) for address in sorted(recorded.keys() - wanted))
    return found


def _reachable(asked: Resource, record: Record) -> Resource:
    """``asked``, but a node that is off cannot be told anything: it learns of new keys and members when it runs again."""
    before = record.resource
    if isinstance(asked, Node) and isinstance(before, Node) and not asked.running:
        return replace(asked, keys=before.keys, peers=before.peers)
    return asked


def changed_fields(before: Resource, after: Resource) -> tuple[str, ...]:
    """Names of the fields that differ, in the order they are declared."""
    return tuple(name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name))


def nested_differences(before: msgspec.Struct, after: msgspec.Struct) -> tuple[str, ...]:
    """Nested differences for people, one a line: ``networks[0].cidr: 10.20.0.0/16 → 10.21.0.0/16``.

    Loads deepdiff, so it is asked for only about entries that are known to differ.
    """
    from deepdiff import DeepDiff  # noqa: PLC0415 - 0.2 s to import, and most plans never need it

    difference = DeepDiff(msgspec.to_builtins(before), msgspec.to_builtins(after), view="tree", verbose_level=2)
    lines = [
        f"{_dotted(level.path(output_format='list'))}: {_shown(level.t1)} → {_shown(level.t2)}"
        for kind in sorted(difference)
        for level in difference[kind]
    ]
    return tuple(sorted(lines))


def _dotted(path: list[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shown(value: object) -> str:
    return "none" if value is None or type(value).__name__ == "NotPresent" else str(value)
