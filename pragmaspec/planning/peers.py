"""Cluster members known to the guests after a partial plan. Pure."""

from msgspec.structs import replace

from pragmaspec.planning.impact import changed_fields_text
from pragmaspec.planning.late.members import members_digest
from pragmaspec.planning.plan import Action
from pragmaspec.planning.targets import without_dangling_keys
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import State

_CHANGED = changed_fields_text(("peers",))


def with_peers(selected: tuple[Action, ...], wanted: Wanted, state: State) -> tuple[Action, ...]:
    """Return ``selected`` with each node's ``peers`` limited to the nodes that exist after these actions.

    The next whole plan then finds that the guests miss the other members, and updates them.
    """
    members = {node.address: node for node in state.nodes()}
    allocations = {record.address: record.resource for record in state.records if isinstance(record.resource, Allocation)}
    kept = {action.address for action in selected if action.verb in ("boot", "update")}
    for action in selected:
        if isinstance(action.resource, Node) and action.verb in ("boot", "update"):
            members[action.address] = action.resource
        elif isinstance(action.resource, Node) and action.verb == "clean" and action.address not in kept:
            members.pop(action.address, None)
        elif isinstance(action.resource, Allocation) and action.verb == "allocate":
            allocations[action.address] = action.resource
    digests: dict[tuple[str, str], str] = {}
    for site, name in {(node.site, node.cluster) for node in members.values()}:
        allocation, cluster = allocations.get(f"{site}/{name}/allocation"), wanted.cluster(name)
        if allocation is not None and cluster is not None:
            nodes = [node for node in members.values() if (node.site, node.cluster) == (site, name)]
            digests[site, name] = members_digest(allocation, nodes, cluster.domain)
    return tuple(_with_digest(action, digests) for action in selected)


def without_known_members(selected: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return ``selected`` without the updates of members that the guests already know, so that partial plans become empty."""
    left = tuple(action for action in selected if action.reason != _CHANGED or action.resource != action.before)
    return left if len(left) == len(selected) else without_dangling_keys(left)


def _with_digest(action: Action, digests: dict[tuple[str, str], str]) -> Action:
    node = action.resource
    if action.verb not in ("boot", "update") or not isinstance(node, Node):
        return action
    return replace(action, resource=replace(node, peers=digests.get((node.site, node.cluster), node.peers)))
