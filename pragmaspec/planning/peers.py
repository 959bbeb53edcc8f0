"""What guests are told of their cluster by a plan that leaves some of its nodes out."""

from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import peers_digest
from pragmaspec.planning.plan import Action
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import State


def with_peers(kept: tuple[Action, ...], wanted: Wanted, state: State) -> tuple[Action, ...]:
    """``kept`` with each node's ``peers`` as its guest will be told them: only of nodes that are there when this plan is done.

    So the next whole plan sees that the guest does not know the rest, and updates it.
    """
    members = {node.address: node for node in state.nodes()}
    allocations = {record.address: record.resource for record in state.records if isinstance(record.resource, Allocation)}
    made = {action.address for action in kept if action.verb in ("boot", "update")}
    for action in kept:
        if isinstance(action.resource, Node) and action.address in made and action.verb in ("boot", "update"):
            members[action.address] = action.resource
        elif isinstance(action.resource, Node) and action.verb == "clean" and action.address not in made:
            members.pop(action.address, None)
        elif isinstance(action.resource, Allocation) and action.verb == "allocate":
            allocations[action.address] = action.resource
    told: dict[tuple[str, str], str] = {}
    for site, cluster in {(node.site, node.cluster) for node in members.values()}:
        allocation, asked = allocations.get(f"{site}/{cluster}/allocation"), wanted.cluster(cluster)
        if allocation is not None and asked is not None:
            nodes = [node for node in members.values() if (node.site, node.cluster) == (site, cluster)]
            told[site, cluster] = peers_digest(allocation, nodes, asked.domain)
    return tuple(_told(action, told) for action in kept)


def _told(action: Action, told: dict[tuple[str, str], str]) -> Action:
    node = action.resource
    if action.verb not in ("boot", "update") or not isinstance(node, Node):
        return action
    return replace(action, resource=replace(node, peers=told.get((node.site, node.cluster), node.peers)))
