"""Matches observed machines to records, and finds objects with our marks that no record is about. Pure.

At a site that assigns the identities of machines itself, a creation whose response was lost may have made a machine with an
unrecorded id, or two machines. The recorded id decides; before it is known, the op does, and among several the oldest wins.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pragmaspec.planning.observed import Observations, Observed, ObservedNode
from pragmaspec.state_model import Record


class Unrecorded(NamedTuple):
    """An object with our marks and without a record."""

    address: str
    detail: str
    """Human-readable."""


def match_node(record: Record, candidates: Sequence[ObservedNode], closed: AbstractSet[str]) -> ObservedNode | None:
    """Return the recorded machine among ``candidates``, which all carry the record's address; None: none of them.

    A machine of another creation matches only if there is no better one: then the state was restored, or the machine recreated.
    One whose op is ``closed`` is a leftover, unless it is the only candidate and the site has no ids.
    """
    found = [node for node in candidates if node.op not in closed]
    if not found and not record.site_id and len(candidates) == 1:
        return candidates[0]
    by_id = [node for node in found if record.site_id and node.id == record.site_id]
    by_op = [node for node in found if node.op == record.op]
    if record.site_id and not by_id and any(node.id for node in found):
        return None
    return min(by_id or by_op or found, key=_age, default=None)


def match_nodes(recorded: Iterable[Record], seen: Iterable[ObservedNode], closed: AbstractSet[str]) -> Mapping[str, ObservedNode]:
    """Return the observed machines of records, by the address that they were created under."""
    first: dict[str, ObservedNode] = {}
    more: dict[str, list[ObservedNode]] = {}
    for node in seen:
        if first.setdefault(node.address, node) is not node:
            more.setdefault(node.address, []).append(node)
    matched: dict[str, ObservedNode] = {}
    for record in recorded:
        address = record.original_address
        candidate = first.get(address)
        if candidate is not None and (address in more or candidate.op in closed or record.outputs):
            candidate = match_node(record, (candidate, *more.get(address, ())), closed)
        if candidate is not None:
            matched[address] = candidate
    return matched


def unrecorded_objects(recorded: Iterable[Record], seen: Observations, closed: AbstractSet[str]) -> list[Unrecorded]:
    """Return the objects with this stack's marks and without a record, by address and age.

    If their address is recorded, a ``#`` and the site's id are appended to it.
    """
    records = {record.original_address: record for record in recorded}
    found: list[Unrecorded] = []
    doubtful = _doubtful_objects(records, seen, closed)
    addresses = {record.address for record in records.values()} if doubtful else set()
    for address, objects in sorted(doubtful.items()):
        record = records.get(address)
        if record is None:
            oldest = min(objects, key=_age)
            found.append(
                Unrecorded(_unique_address(oldest) if address in addresses else address, _unrecorded_text(oldest, closed))
            )
            continue
        nodes = [each for each in objects if isinstance(each, ObservedNode)]
        if len(nodes) > 1 or any(node.op in closed for node in nodes):
            match = match_node(record, nodes, closed)
            others = (node for node in sorted(nodes, key=_age) if node is not match)
            found += (Unrecorded(_unique_address(node), _duplicate_text(node, record, closed)) for node in others)
    return found


def _doubtful_objects(
    records: Mapping[str, Record], seen: Observations, closed: AbstractSet[str]
) -> Mapping[str, Sequence[Observed]]:
    """Return the objects by address, except for those that are the only ones of a recorded address."""
    marked = seen.marked
    seen_once: set[str] = set()
    doubtful: set[str] = set()
    for each in marked:
        address = each.address
        if address in seen_once or address not in records or each.op in closed:
            doubtful.add(address)
        seen_once.add(address)
    found: dict[str, list[Observed]] = {}
    for each in marked if doubtful else ():
        if each.address in doubtful:
            found.setdefault(each.address, []).append(each)
    return found


def _unique_address(seen: Observed) -> str:
    return f"{seen.address}#{seen.id or seen.op[:8] or 'other'}"


def _unrecorded_text(seen: Observed, closed: AbstractSet[str]) -> str:
    if seen.op in closed:
        return "is left over from a call that took effect late; the next apply removes it"
    return "carries this stack's marks at the site but is not recorded; it is left alone"


def _duplicate_text(seen: Observed, record: Record, closed: AbstractSet[str]) -> str:
    if seen.op in closed or (seen.op and seen.op == record.op):
        return "was created twice, because a response was lost; the next apply removes this one"
    return "carries the marks of a node that is recorded as another machine; it is left alone"


def _age(seen: Observed) -> tuple[float, str]:
    return (seen.made, seen.id)
