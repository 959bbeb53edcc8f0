"""Recorded against observed: what changed at a site behind our back, and the state that planning starts from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import PlanRefusedError
from pragmaspec.planning.drift.condition import HEALTHY, Condition, condition, difference_texts, manual_change_texts
from pragmaspec.planning.drift.image_damage import image_damage
from pragmaspec.planning.drift.missing import made_at_other_site, missing_problems, site_identity_problems
from pragmaspec.planning.drift.ownership import match_nodes, unrecorded_objects
from pragmaspec.planning.drift.public_network import is_public_network_stopped, public_network_faults
from pragmaspec.planning.observed import Observations, ObservedAllocation, ObservedNode
from pragmaspec.planning.plan import INFORMATIONAL_KINDS, Drift, DriftKind
from pragmaspec.resources import Allocation, Node
from pragmaspec.state_model import Record, State

_RUNS_ON: frozenset[DriftKind] = INFORMATIONAL_KINDS | frozenset[DriftKind](("paused", "changed"))
"""Drift of a node whose machine goes on as it is."""
_NO_CONDITIONS: Mapping[str, Condition] = MappingProxyType({})


class RefreshedState(NamedTuple):
    """The recorded state with what was observed put in.

    ``gone`` holds addresses whose object is no longer at its site, ``conditions`` those of recorded machines that are not sound.
    ``unmade`` holds addresses of nodes that were begun and have no machine at their site.
    """

    state: State
    gone: frozenset[str]
    drift: tuple[Drift, ...]
    conditions: Mapping[str, Condition] = _NO_CONDITIONS
    unmade: frozenset[str] = frozenset()


def refreshed_state(state: State, observations: Mapping[str, Observations], *, accept_missing: bool = True) -> RefreshedState:
    """Every drift at the sites that were observed, and the state with the facts put in.

    Raises PlanRefusedError, unless ``accept_missing``, when what answers is not the site where things were made, or when so much
    of it is gone that the listing is not believed.

    A node that is off or on, or runs with another size, is recorded as it is, so that the difference to what is desired says
    what to repair. How a node that is off is defined does not matter: booting it defines it anew. Sites that were not observed
    keep what is recorded. Records that are pending are left to the plan, which redoes them anyway.
    """
    found: list[Drift] = []
    changed: list[Record] = []
    conditions: dict[str, Condition] = {}
    unmade: set[str] = set()
    closed = frozenset(each.op for each in state.closed_ops)
    others = () if accept_missing else site_identity_problems(state, observations)
    if others:
        raise PlanRefusedError.of(others)
    for site, seen in sorted(observations.items()):
        recorded = [record for record in state.records if record.resource.site == site]
        nodes = match_nodes(recorded, seen.nodes, closed)
        allocations = {allocation.address: allocation for allocation in seen.allocations}
        lost = _lost_networks(recorded, allocations, seen)
        for record in recorded:
            machine = nodes.get(record.original_address)
            if machine is not None and isinstance(record.resource, Node):
                is_so = condition(record.resource, machine)
                conditions.update({record.address: is_so} if is_so != HEALTHY else {})
            elif isinstance(record.resource, Node) and record.status == "pending":
                unmade.add(record.address)
            drift, fact = _compared(record, nodes, allocations, seen)
            if isinstance(fact.resource, Node) and (drift is None or drift.kind in _RUNS_ON):
                drift, fact = _unplugged(drift, fact, fact.resource, lost.get(fact.resource.cluster, frozenset()), machine)
            if (drift is None or drift.kind in INFORMATIONAL_KINDS) and made_at_other_site(fact, seen):
                drift = Drift(address=record.address, kind="changed", detail="was made at another site of this name")
                fact = replace(fact, status="pending")
            if drift is not None:
                found.append(drift)
                changed.append(fact)
        found.extend(
            Drift(address=stranger.address, kind="unrecorded", detail=stranger.detail)
            for stranger in unrecorded_objects(recorded, seen, closed)
        )
    gone = frozenset(drift.address for drift in found if drift.kind == "gone")
    problems = () if accept_missing else missing_problems(state, gone)
    if problems:
        raise PlanRefusedError.of(problems)
    return RefreshedState(state.with_records(changed) if changed else state, gone, tuple(found), conditions, frozenset(unmade))


def _compared(
    record: Record, nodes: Mapping[str, ObservedNode], allocations: Mapping[str, ObservedAllocation], seen: Observations
) -> tuple[Drift | None, Record]:
    """The drift of one record, and the record as the facts have it."""
    if record.status == "pending":
        return None, record
    resource = record.resource
    if isinstance(resource, Node):
        return _compared_node(record, resource, nodes.get(record.original_address))
    if isinstance(resource, Allocation):
        return _compared_allocation(
            record, resource, allocations.get(record.original_address), public_network_faults(resource, seen)
        )
    damage = image_damage(resource, seen)
    if damage is None:
        return None, record
    return Drift(address=record.address, kind=damage.kind, detail=damage.detail, name=resource.name), record


def _compared_node(record: Record, node: Node, seen: ObservedNode | None) -> tuple[Drift | None, Record]:
    def drift(kind: DriftKind, detail: str) -> Drift:
        added = seen is not None and bool(seen.additions or seen.passing)
        return Drift(address=record.address, kind=kind, detail=detail, added=added)

    if seen is None:
        return drift("gone", "is gone from the site"), record
    if seen.generation != record.generation:
        detail = f"is another build of the node (number {seen.generation}, recorded {record.generation})"
        return drift("changed", detail), replace(record, generation=max(seen.generation, record.generation), status="degraded")
    if not seen.disk:
        return drift("disk-gone", "has lost its disk"), replace(record, resource=replace(node, image=""), status="ready")
    kind, detail, fact = _power(node, seen)
    if not kind and node.running and (seen.cpus, seen.memory_mib) != (node.cpus, node.memory_mib):
        detail = f"has {seen.cpus} cpus and {seen.memory_mib} MiB, recorded {node.cpus} cpus and {node.memory_mib} MiB"
        kind, fact = "changed", replace(node, cpus=seen.cpus, memory_mib=seen.memory_mib)
    if not kind and seen.autostart is not None and seen.autostart != (node.autostart and node.running):
        detail = "starts with its host, recorded as not to" if seen.autostart else "does not start with its host, recorded as to"
        kind, fact = "changed", replace(node, autostart=seen.autostart)
    otherwise = [*difference_texts(seen)] if node.running else []
    beside = [*manual_change_texts(seen)]
    if otherwise:
        kind = kind or "changed"
    elif beside:
        kind = kind or ("snapshot" if seen.layers else "added")
    if not kind:
        return None, record
    return drift(kind, "; ".join(filter(None, (detail, *otherwise, *beside)))), replace(record, resource=fact)


def _power(node: Node, seen: ObservedNode) -> tuple[DriftKind | Literal[""], str, Node]:
    """The drift of a machine's power, in words, and the node as it is; empty where it is as recorded.

    A machine that is paused has its power: it goes on as it is. How it is defined does not matter to one that is off.
    """
    why = f" ({seen.why})" if seen.why else ""
    match seen.status:
        case "undefined" if node.running:
            return "undefined", "is no longer defined at the site; its disk is there", replace(node, running=False)
        case "crashed" if node.running:
            return "crashed", f"has crashed{why}, recorded as running", replace(node, running=False)
        case "off" if node.running and seen.saved:
            return "saved", "is off with its memory saved on disk, recorded as running", replace(node, running=False)
        case "off" if node.running:
            return "off", f"is off{why}, recorded as running", replace(node, running=False)
        case "paused" if node.running:
            return "paused", f"is paused{why}, recorded as running", node
        case "running" | "paused" if not node.running:
            return "running", f"is {seen.status}{why}, recorded as off", replace(node, running=True)
    return "", "", node


def _lost_networks(
    recorded: list[Record], allocations: Mapping[str, ObservedAllocation], seen: Observations
) -> dict[str, frozenset[str]]:
    """By cluster, the networks made for it that are no longer there, and a public one that is stopped.

    A bridge of the host is not ours to lose.
    """
    return {
        record.resource.cluster: frozenset({"public"} if is_public_network_stopped(record.resource, seen) else ())
        | frozenset(
            network.name
            for network in record.resource.networks
            if network.vlan is not None
            and network.bridge is None
            and network.name not in _networks_up(allocations.get(record.original_address))
        )
        for record in recorded
        if isinstance(record.resource, Allocation) and record.status == "ready"
    }


def _networks_up(seen: ObservedAllocation | None) -> tuple[str, ...]:
    return seen.networks if seen is not None else ()


def _unplugged(
    drift: Drift | None, record: Record, node: Node, lost: frozenset[str], seen: ObservedNode | None
) -> tuple[Drift | None, Record]:
    """``drift`` and ``record`` of a node; one that runs hangs on nothing when a network is made or started anew under it."""
    loose = seen.unplugged if seen is not None else ()
    hanging = [nic.network for nic in node.nics if nic.network in lost or nic.mac.lower() in loose]
    if not hanging or not node.running or record.status == "pending" or (drift is not None and record.status == "degraded"):
        return drift, record
    nics = tuple(replace(nic, segment="") if nic.network in hanging else nic for nic in node.nics)
    why = "is lost" if lost.intersection(hanging) else "was started anew under it"
    cut = Drift(address=record.address, kind="changed", detail=f"is cut off: network {', '.join(hanging)} {why}")
    if drift is not None:
        cut = replace(cut, detail=f"{cut.detail}; {drift.detail}", added=drift.added)
    return cut, replace(record, resource=replace(node, nics=nics))


def _compared_allocation(
    record: Record, allocation: Allocation, seen: ObservedAllocation | None, faults: list[str]
) -> tuple[Drift | None, Record]:
    if seen is None:
        return Drift(address=record.address, kind="gone", detail="is gone from the site"), record
    carried = dict(seen.vlans)
    lost = [
        f"network {network.name}"
        for network in allocation.networks
        if network.vlan is not None
        and (network.name not in seen.networks or carried.get(network.name, network.vlan) != network.vlan)
    ]
    lost += [f"public address {grant.address}" for grant in allocation.public if grant.address not in seen.public]
    words = [*([f"has lost {', '.join(lost)}"] if lost else []), *faults]
    if not words:
        return None, record
    return Drift(address=record.address, kind="changed", detail="; ".join(words)), replace(record, status="pending")
