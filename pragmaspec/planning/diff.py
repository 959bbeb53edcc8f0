"""Differences between desired and recorded resources, field by field."""

from collections.abc import Iterable

from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.frozen import Frozen, to_plain
from pragmaspec.planning.desired import Desired
from pragmaspec.resources import Node, Resource
from pragmaspec.state_model import Record, State


class Change(Frozen, frozen=True):
    """The difference at one address. ``before`` None: new; ``after`` None: no longer wanted; otherwise ``fields`` changed."""

    before: Record | None
    after: Resource | None
    fields: tuple[str, ...] = ()
    where: Where | None = None

    @property
    def address(self) -> str:
        """Address of the resource."""
        if self.after is not None:
            return self.after.address
        return self.before.address if self.before is not None else ""


def changes(desired: Iterable[Desired], state: State, drifted: frozenset[str] = frozenset()) -> list[Change]:
    """Return all differences: desired resources in their order, then those no longer wanted by address.

    ``drifted``: addresses at which the site has drifted. They count as changed even if they match the spec by now, because the
    state has to be updated.
    """
    found: list[Change] = []
    unwanted = {record.address: record for record in state.records}
    for resource, where in desired:
        address = resource.address
        record = unwanted.pop(address, None)
        if record is None:
            found.append(Change(before=None, after=resource, where=where))
            continue
        after = _applicable(resource, record)
        differs = record.resource is not after and record.resource != after
        if differs or record.status != "ready" or address in drifted:
            found.append(Change(before=record, after=after, fields=changed_fields(record.resource, after), where=where))
    found.extend(Change(before=unwanted[address], after=None) for address in sorted(unwanted))
    return found


def _applicable(desired: Resource, record: Record) -> Resource:
    """Return ``desired`` without new keys, users and members if it is to be off: they are updated once it runs."""
    before = record.resource
    if isinstance(desired, Node) and isinstance(before, Node) and not desired.running:
        return replace(desired, keys=before.keys, peers=before.peers, users=before.users)
    return desired


def changed_fields(before: Resource, after: Resource) -> tuple[str, ...]:
    """Return the names of the fields that differ, in their declared order."""
    return tuple(name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name))


def nested_differences(before: Record, after: Record) -> tuple[str, ...]:
    """Return the differences between two records by path: ``resource.networks[0].cidr: 10.20.0.0/16 → 10.21.0.0/16``.

    An absent value is ``none``.
    """
    from deepdiff import DeepDiff  # noqa: PLC0415 - takes 0.2 s to import, and plans do not need it

    tree = DeepDiff(to_plain(before), to_plain(after), view="tree", verbose_level=2)
    return tuple(
        sorted(
            f"{_path_text(level.path(output_format='list'))}: {_value_text(level.t1)} → {_value_text(level.t2)}"
            for kind in tree.values()
            for level in kind
        )
    )


def _path_text(path: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _value_text(value: object) -> str:
    return "none" if value is None or type(value).__name__ == "NotPresent" else str(value)
