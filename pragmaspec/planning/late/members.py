"""Guests learn the members of their cluster by an update, where a boot has yet to tell the addresses of some. Pure.

Each node that boots before all addresses are known is recorded as if it knew no members. One update per node follows the last
boot of the cluster, computes the members from the record, and records their digest. So whatever interrupts an apply, the next
plan contains exactly the updates that are missing.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import peers_digest
from pragmaspec.planning.impact import changed_fields_text
from pragmaspec.planning.late.values import KNOWN_AFTER_APPLY, is_known
from pragmaspec.planning.plan import Action
from pragmaspec.resources import Allocation, Node, Resource

LATER = "later"
"""The digest ``peers`` of members that are known after the allocation or the last boot. It is never recorded."""
_CHANGED = changed_fields_text(("peers",))
MEMBERS_LATER = f"cluster members {KNOWN_AFTER_APPLY}"

_Cluster = tuple[str, str]


def members_digest(allocation: Allocation, nodes: Iterable[Node], domain: str) -> str:
    """Return the digest of the members, LATER if one has an unknown MAC or address."""
    nodes = list(nodes)
    return peers_digest(allocation, nodes, domain) if all(map(is_known, nodes)) else LATER


def with_member_updates(selected: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return ``selected`` with an update of each node that boots without all members of its cluster, after all boots there.

    The first of these updates waits for the boots, and the others for it: with one dependency per node instead of one per pair
    of nodes, and through the frontend, which is the way to the other guests. Where only public addresses are unknown, which the
    allocation names before any boot, nodes boot with all members and need no update.
    """
    if not any(_awaits_members(action) for action in selected):
        return selected
    named_by_boots = {_cluster_of(action.resource) for action in selected if action.verb == "boot" and _names_values(action)}
    allocations = {_cluster_of(action.resource): [action.key] for action in selected if action.verb == "allocate"}
    boots: dict[_Cluster, list[str]] = {}
    updated = {action.address for action in selected if action.verb == "update"}
    found: list[Action] = []
    for action in selected:
        node = action.resource
        if action.verb == "boot":
            boots.setdefault(_cluster_of(node), []).append(action.key)
        if not isinstance(node, Node) or not _awaits_members(action):
            found.append(action)
        elif action.verb == "update":
            found.append(replace(action, reason=MEMBERS_LATER) if action.reason == _CHANGED else action)
        elif _cluster_of(node) in named_by_boots:
            found.append(replace(action, resource=replace(node, peers="")))
            found += [] if action.address in updated else [_update_after(action, node)]
        else:
            found.append(action)
    return tuple(_ordered(found, {**allocations, **boots}))


def _awaits_members(action: Action) -> bool:
    return isinstance(action.resource, Node) and action.verb in ("boot", "update") and action.resource.peers == LATER


def _names_values(boot: Action) -> bool:
    """True if the site chooses values of the node's interfaces when it boots."""
    node = boot.resource
    return isinstance(node, Node) and any(not nic.mac or not (nic.address or nic.network == "public") for nic in node.nics)


def _cluster_of(resource: Resource) -> _Cluster:
    return (resource.site, resource.cluster) if isinstance(resource, Node | Allocation) else (resource.site, "")


def _update_after(boot: Action, node: Node) -> Action:
    return Action(
        verb="update",
        resource=node,
        before=boot.before,
        reason=MEMBERS_LATER,
        generation=boot.generation,
        impact="none" if boot.before is None else "live",
        where=boot.where,
        after=(boot.key,),
    )


def _ordered(found: Iterable[Action], awaited: dict[_Cluster, list[str]]) -> Iterable[Action]:
    first: dict[_Cluster, str] = {}
    for action in found:
        node = action.resource
        if action.verb != "update" or not isinstance(node, Node) or node.peers != LATER:
            yield action
            continue
        cluster = _cluster_of(node)
        keys = [first[cluster]] if cluster in first else awaited.get(cluster, [])
        first.setdefault(cluster, action.key)
        yield replace(action, after=tuple(dict.fromkeys((*action.after, *keys))))
