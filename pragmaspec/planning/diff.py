"""Desired against recorded: what changed, field by field."""

from collections.abc import Iterable, Mapping

import msgspec

from pragmaspec.errors import Where
from pragmaspec.frozen import Frozen
from pragmaspec.planning.desired import Desired
from pragmaspec.recorded import Record, Resource, State


class Change(Frozen, frozen=True):
    """What differs at one address. ``before`` None: new; ``after`` None: no longer wanted; else ``fields`` names what changed."""

    before: Record | None
    after: Resource | None
    fields: tuple[str, ...] = ()
    where: Where | None = None

    @property
    def address(self) -> str:
        """The address both sides share."""
        return self.after.address if self.after is not None else self.before.address if self.before is not None else ""


def changes(desired: Iterable[Desired], state: State, gone: frozenset[str] = frozenset()) -> list[Change]:
    """Everything that differs, desired resources first in their order, then what is no longer wanted by address.

    ``gone`` are addresses that are recorded but no longer at their site: they differ though nothing in the spec did.
    """
    found: list[Change] = []
    recorded: Mapping[str, Record] = {record.address: record for record in state.records}
    wanted: set[str] = set()
    for resource, where in desired:
        address = resource.address
        wanted.add(address)
        record = recorded.get(address)
        if record is None:
            found.append(Change(before=None, after=resource, where=where))
        elif record.status != "ready" or record.resource != resource or address in gone:
            found.append(Change(before=record, after=resource, fields=changed_fields(record.resource, resource), where=where))
    found.extend(Change(before=recorded[address], after=None) for address in sorted(recorded.keys() - wanted))
    return found


def changed_fields(before: Resource, after: Resource) -> tuple[str, ...]:
    """Names of the fields that differ, in the order they are declared."""
    return tuple(name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name))


def explained(before: msgspec.Struct, after: msgspec.Struct) -> tuple[str, ...]:
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
