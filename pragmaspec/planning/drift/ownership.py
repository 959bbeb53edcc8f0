"""Which of the machines that carry one address's marks is the recorded one, and what else carries our marks. Pure.

Where nobody can choose the identity of a machine, a creation whose answer was lost may have made one that the state does not know
the id of, or two. The id decides; before it is known, the op does, and of several the oldest.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from pragmaspec.planning.observed import Observations, Observed, ObservedNode
from pragmaspec.state_model import Record


class Unrecorded(NamedTuple):
    """Something that carries our marks and is not recorded, and what is to be said of it."""

    address: str
    detail: str


def match_node(record: Record, there: Sequence[ObservedNode], closed: AbstractSet[str]) -> ObservedNode | None:
    """The one of ``there``, which all carry the record's address, that is the recorded machine; None: none of them.

    A machine of another creation counts only where there is nothing else: then somebody has put the state back, or made it anew.
    One whose op is ``closed`` is a leftover, unless it stands alone where identities are chosen by us.
    """
    found = [node for node in there if node.op not in closed]
    if not found and not record.site_id and len(there) == 1:
        return there[0]
    known = [node for node in found if record.site_id and node.id == record.site_id]
    same = [node for node in found if node.op == record.op]
    if record.site_id and not known and any(node.id for node in found):
        return None
    return min(known or same or found, key=_age, default=None)


def match_nodes(recorded: Iterable[Record], seen: Iterable[ObservedNode], closed: AbstractSet[str]) -> Mapping[str, ObservedNode]:
    """The machine of each recorded address, where it was observed."""
    by_address: dict[str, list[ObservedNode]] = {}
    for node in seen:
        by_address.setdefault(node.address, []).append(node)
    chosen = (
        (record.original_address, match_node(record, by_address.get(record.original_address, ()), closed)) for record in recorded
    )
    return {address: node for address, node in chosen if node is not None}


def unrecorded_objects(recorded: Iterable[Record], seen: Observations, closed: AbstractSet[str]) -> list[Unrecorded]:
    """What carries this stack's marks and is in no record, sorted by address; of one address, the oldest first.

    Where a record has the address, it is told apart from it by a ``#`` and what the site calls it.
    """
    records = {record.original_address: record for record in recorded}
    names = {record.address for record in records.values()}
    found: list[Unrecorded] = []
    by_address: dict[str, list[Observed]] = {}
    for each in seen.marked:
        by_address.setdefault(each.address, []).append(each)
    for address, there in sorted(by_address.items()):
        record = records.get(address)
        if record is None:
            first = min(there, key=_age)
            found.append(Unrecorded(_apart(first) if address in names else address, _unrecorded(first, closed)))
            continue
        nodes = [each for each in there if isinstance(each, ObservedNode)]
        if len(nodes) > 1 or any(node.op in closed for node in nodes):
            ours = match_node(record, nodes, closed)
            others = (node for node in sorted(nodes, key=_age) if node is not ours)
            found += (Unrecorded(_apart(node), _second(node, record, closed)) for node in others)
    return found


def _apart(seen: Observed) -> str:
    return f"{seen.address}#{seen.id or seen.op[:8] or 'other'}"


def _unrecorded(seen: Observed, closed: AbstractSet[str]) -> str:
    if seen.op in closed:
        return "is left over from a call that took effect late; the next apply removes it"
    return "carries this stack's marks at the site but is not recorded; it is left alone"


def _second(seen: Observed, record: Record, closed: AbstractSet[str]) -> str:
    if seen.op in closed or (seen.op and seen.op == record.op):
        return "was made twice, because an answer was lost; the next apply removes this one"
    return "carries the marks of a node that is recorded as another machine; it is left alone"


def _age(seen: Observed) -> tuple[float, str]:
    return (seen.made, seen.id)
