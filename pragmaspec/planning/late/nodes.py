"""The interfaces of nodes at sites that choose MACs or addresses themselves. Pure.

A recorded machine keeps its recorded values. Those of a machine that is made anew are unknown, except its public address, which
belongs to the allocation.
"""

from collections.abc import Collection

from msgspec.structs import replace

from pragmaspec.networking import LateValue
from pragmaspec.planning.impact import FIELD_IMPACT, node_impact
from pragmaspec.planning.late.values import UNKNOWN
from pragmaspec.resources import Nic, Node

_COMPARED = tuple(name for name in FIELD_IMPACT if name != "peers")


def with_recorded_values(nic: Nic, recorded: Node | None, late: Collection[LateValue], *, inside: bool) -> Nic:
    """Return ``nic`` with the values of the ``recorded`` machine where the site chooses them; None: there is no machine.

    ``inside``: the recorded address is in the present range of the network.
    """
    before = recorded.nic("private" if nic.translated else nic.network) if recorded is not None else None
    if "macs" in late:
        nic = replace(nic, mac=before.mac if before is not None else UNKNOWN)
    if "private" in late and nic.network != "public":
        nic = replace(nic, address=before.address if before is not None and inside else UNKNOWN)
    return nic


def rebuilt(node: Node, before: Node | None, late: Collection[LateValue]) -> Node:
    """Return ``node`` with unknown values if the change from ``before`` is a rebuild."""
    if before is None or before is node:
        return node
    fields = tuple(name for name in _COMPARED if getattr(before, name) != getattr(node, name))
    if not fields or node_impact(before, node, fields) != "rebuild":
        return node
    return replace(node, nics=tuple(with_recorded_values(nic, None, late, inside=False) for nic in node.nics))
