"""Finds networks that a plan removes while foreign machines use them."""

from collections.abc import Iterator

from pragmaspec.errors import Problem
from pragmaspec.planning.drift.attached_machines import network_in_use
from pragmaspec.planning.moves.moves import moved_state
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import Allocation, Node
from pragmaspec.stack.sites import Sites
from pragmaspec.state_model import State


def networks_in_use(plan: Plan, state: State, sites: Sites) -> tuple[Problem, ...]:
    """Return one problem per allocation that loses a network in use by machines other than the cluster's own nodes.

    Contacts only the sites where ``plan`` removes a network.
    """
    moved = moved_state(state, plan.moves)
    return tuple(problem for action in plan.actions for problem in _problems(action, moved, sites))


def _problems(action: Action, state: State, sites: Sites) -> Iterator[Problem]:
    held, record = action.before, state.record(action.address)
    if not isinstance(held, Allocation) or record is None or action.verb not in ("clean", "allocate"):
        return
    keep = action.resource if action.verb == "allocate" and isinstance(action.resource, Allocation) else None
    if keep is not None and not _drops(held, keep):
        return
    use = sites.provider(held.site).abilities.network_use
    if use is None:
        return
    own = {
        each.original_address
        for each in state.records
        if isinstance(each.resource, Node) and (each.resource.site, each.resource.cluster) == (held.site, held.cluster)
    }
    others = [
        each
        for each in use.attached_machines(held, keep, record.mark(state.lineage))
        if (each.lineage, each.address in own) != (state.lineage, True)
    ]
    if others:
        yield network_in_use(others, held)


def _drops(held: Allocation, keep: Allocation) -> bool:
    kept = {(network.name, network.vlan) for network in keep.networks}
    return any((network.name, network.vlan) not in kept for network in held.networks)
