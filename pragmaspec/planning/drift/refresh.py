"""Compares the recorded state with observations: drift, and the refreshed state that planning starts from. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import PlanRefusedError
from pragmaspec.planning.drift.condition import (
    HEALTHY,
    Condition,
    condition,
    difference_texts,
    manual_change_texts,
)
from pragmaspec.planning.drift.image_damage import image_damage
from pragmaspec.planning.drift.missing import made_at_other_site, missing_problems, site_identity_problems
from pragmaspec.planning.drift.ownership import match_nodes, unrecorded_objects
from pragmaspec.planning.drift.public_network import is_public_network_stopped, public_network_faults
from pragmaspec.planning.late.drift import moved_interfaces, with_interfaces, without_interfaces
from pragmaspec.planning.late.values import UNKNOWN
from pragmaspec.planning.observed import Observations, ObservedAllocation, ObservedNode, ObservedVolume
from pragmaspec.planning.plan import INFORMATIONAL_KINDS, Drift, DriftKind
from pragmaspec.planning.storage.drift import ComparedDisks, compare_disks, compare_volume, detached_volumes, without_volumes
from pragmaspec.resources import Allocation, Node, Volume
from pragmaspec.state_model import Record, State
from pragmaspec.text import counted

_RUNNING_KINDS: frozenset[DriftKind] = INFORMATIONAL_KINDS | frozenset[DriftKind](("paused", "changed"))
"""Drift of a node whose machine keeps running."""
_NO_CONDITIONS: Mapping[str, Condition] = MappingProxyType({})
_NO_VOLUMES: Mapping[str, ObservedVolume] = MappingProxyType({})


class RefreshedState(NamedTuple):
    """The recorded state updated with observations."""

    state: State
    gone: frozenset[str]
    """Addresses of recorded objects that are missing."""
    drift: tuple[Drift, ...]
    conditions: Mapping[str, Condition] = _NO_CONDITIONS
    """Conditions of recorded machines that are not healthy, by address."""
    never_created: frozenset[str] = frozenset()
    """Addresses of unfinished nodes without a machine."""
    volumes: Mapping[str, ObservedVolume] = _NO_VOLUMES
    """Observed volumes of this stack without a record, by address."""


def refreshed_state(state: State, observations: Mapping[str, Observations], *, accept_missing: bool = True) -> RefreshedState:
    """Return the refreshed state with all drift at the observed sites.

    Raises PlanRefusedError, unless ``accept_missing``, if a site's identity has changed, or if too many objects are missing for
    the listing to be credible.

    A node that is on, off or resized is refreshed to its actual state, so that its difference from the desired one is the repair.
    The definition of a node that is off does not matter, because booting it defines it again. Sites that were not observed and
    pending records stay as recorded: a plan repeats pending operations anyway.
    """
    identity_problems = () if accept_missing else site_identity_problems(state, observations)
    if identity_problems:
        raise PlanRefusedError.of(identity_problems)
    closed = frozenset(each.op for each in state.closed_ops)
    drift: list[Drift] = []
    changed: list[Record] = []
    conditions: dict[str, Condition] = {}
    never_created: set[str] = set()
    volumes: dict[str, ObservedVolume] = {}
    for site, seen in sorted(observations.items()):
        recorded_site = state.site(site)
        chooses_public = recorded_site is not None and "public" in recorded_site.late_values
        here = [record for record in state.records if record.resource.site == site]
        comparison = _SiteComparison(here, seen, closed, chooses_public=chooses_public)
        comparison.run()
        drift += comparison.drift
        changed += comparison.changed
        conditions.update(comparison.conditions)
        never_created |= comparison.never_created
        volumes.update(comparison.unrecorded_volumes)
    gone = frozenset(each.address for each in drift if each.kind == "gone")
    missing = () if accept_missing else missing_problems(state, gone)
    if missing:
        raise PlanRefusedError.of(missing)
    refreshed = state.with_records(changed) if changed else state
    return RefreshedState(refreshed, gone, tuple(drift), conditions, frozenset(never_created), volumes)


class _SiteComparison:
    """Compares the records of one site with its observations."""

    def __init__(
        self, recorded: list[Record], seen: Observations, closed: frozenset[str], *, chooses_public: bool = False
    ) -> None:
        self._recorded = recorded
        self._chooses_public = chooses_public
        self._seen = seen
        self._closed = closed
        self._nodes = match_nodes(recorded, seen.nodes, closed)
        self._allocations = {allocation.address: allocation for allocation in seen.allocations}
        self._volumes = {volume.address: volume for volume in seen.volumes}
        kept = [(record, record.resource.name) for record in recorded if isinstance(record.resource, Volume)]
        self._lost_volumes = frozenset(
            name for record, name in kept if record.status != "pending" and record.original_address not in self._volumes
        )
        self._volume_names = {name: record.original_address.rpartition("/")[2] for record, name in kept}
        self._lost_networks = {
            record.resource.cluster: self._lost_networks_of(record.resource, self._allocations.get(record.original_address))
            for record in recorded
            if isinstance(record.resource, Allocation) and record.status == "ready"
        }
        self.drift: list[Drift] = []
        self.changed: list[Record] = []
        self.conditions: dict[str, Condition] = {}
        self.never_created: set[str] = set()

    def run(self) -> None:
        for record in self._recorded:
            self._compare(record)
        self.drift += (
            Drift(address=each.address, kind="unrecorded", detail=each.detail)
            for each in unrecorded_objects(self._recorded, self._seen, self._closed)
        )

    def _compare(self, record: Record) -> None:
        machine = self._nodes.get(record.original_address)
        if machine is not None and self._is_unchanged(record, machine):
            return
        if machine is not None and isinstance(record.resource, Node):
            found = condition(record.resource, machine)
            if found is not HEALTHY and found != HEALTHY:
                self.conditions[record.address] = found
        elif isinstance(record.resource, Node) and record.status == "pending":
            self.never_created.add(record.address)
        if machine is not None and machine.interfaces:
            record = self._without_old_interfaces(record, machine)
        drift, refreshed = self._compare_resource(record, machine)
        if isinstance(refreshed.resource, Node) and (drift is None or drift.kind in _RUNNING_KINDS):
            lost = self._lost_networks.get(refreshed.resource.cluster, frozenset())
            if lost or (machine is not None and machine.unplugged):
                drift, refreshed = _detached(drift, refreshed, refreshed.resource, lost, machine)
        if (drift is None or drift.kind in INFORMATIONAL_KINDS) and made_at_other_site(refreshed, self._seen):
            drift = Drift(address=record.address, kind="changed", detail="was created at a different site of the same name")
            refreshed = replace(refreshed, status="pending")
        drift, refreshed = self._without_lost_volumes(drift, refreshed, machine)
        if drift is not None:
            self.drift.append(drift)
            self.changed.append(refreshed)

    def _without_old_interfaces(self, record: Record, machine: ObservedNode) -> Record:
        """Return ``record`` without values that its machine no longer has, if it is unfinished or off: its boot names them."""
        node = record.resource
        if not isinstance(node, Node) or (record.status != "pending" and node.running):
            return record
        if not moved_interfaces(node, machine.interfaces):
            return record
        changed = replace(record, resource=without_interfaces(node, machine.interfaces))
        self.changed.append(changed)
        return changed

    def _without_lost_volumes(
        self, drift: Drift | None, record: Record, machine: ObservedNode | None
    ) -> tuple[Drift | None, Record]:
        """Return ``drift`` and ``record``, extended if volumes of the node are missing or detached."""
        node = record.resource
        if not isinstance(node, Node) or not node.disks:
            return drift, record
        lost = self._lost_volumes | detached_volumes(node, machine, self._volume_names)
        return (drift, record) if lost.isdisjoint(node.volumes) else without_volumes(drift, record, node, lost)

    @property
    def unrecorded_volumes(self) -> dict[str, ObservedVolume]:
        """The volumes that no record is about, by address."""
        known = {record.original_address for record in self._recorded}
        return {address: volume for address, volume in self._volumes.items() if address not in known}

    def _is_unchanged(self, record: Record, machine: ObservedNode) -> bool:
        """True if ``machine`` is as recorded and has no other facts: a quick answer for most nodes of a large stack."""
        node = record.resource
        return (
            isinstance(node, Node)
            and (record.status == "ready" and node.running and not node.disks)
            and not made_at_other_site(record, self._seen)
            and not self._lost_networks.get(node.cluster)
            and machine.autostart in (None, node.autostart)
            and machine
            == ObservedNode(
                address=machine.address,
                generation=record.generation,
                status="running",
                cpus=node.cpus,
                memory_mib=node.memory_mib,
                autostart=machine.autostart,
                op=machine.op,
                id=machine.id,
                made=machine.made,
                volumes=machine.volumes,
                interfaces=machine.interfaces,
            )
            and not (machine.interfaces and moved_interfaces(node, machine.interfaces))
        )

    def _compare_resource(self, record: Record, machine: ObservedNode | None) -> tuple[Drift | None, Record]:
        """Return the drift of one record, and the refreshed record."""
        if record.status == "pending":
            return None, record
        resource = record.resource
        if isinstance(resource, Node):
            return _compare_node(record, resource, machine)
        if isinstance(resource, Allocation):
            allocation = self._allocations.get(record.original_address)
            drift, refreshed = _compare_allocation(record, resource, allocation, public_network_faults(resource, self._seen))
            if drift is not None and allocation is not None and self._chooses_public:
                refreshed = replace(refreshed, resource=_without_lost_addresses(resource, allocation))
            return drift, refreshed
        if isinstance(resource, Volume):
            return compare_volume(record, resource, self._volumes.get(record.original_address))
        damage = image_damage(resource, self._seen)
        if damage is None:
            return None, record
        return Drift(address=record.address, kind=damage.kind, detail=damage.detail, name=resource.name), record

    def _lost_networks_of(self, allocation: Allocation, seen: ObservedAllocation | None) -> frozenset[str]:
        """Return the missing networks of a cluster and its stopped public one. A bridge of the host is not ours to lose."""
        up = seen.networks if seen is not None else ()
        return frozenset({"public"} if is_public_network_stopped(allocation, self._seen) else ()) | frozenset(
            network.name for network in allocation.networks if network.is_made and network.name not in up
        )


def _compare_node(record: Record, node: Node, seen: ObservedNode | None) -> tuple[Drift | None, Record]:
    def drift(kind: DriftKind, detail: str) -> Drift:
        added = seen is not None and bool(seen.additions or seen.passing)
        return Drift(address=record.address, kind=kind, detail=detail, added=added)

    if seen is None:
        return drift("gone", "is gone from the site"), record
    if seen.generation != record.generation:
        detail = f"is a different build of the node (generation {seen.generation}, recorded {record.generation})"
        return drift("changed", detail), replace(record, generation=max(seen.generation, record.generation), status="degraded")
    if not seen.disk:
        return drift("disk-gone", "has lost its disk"), replace(record, resource=replace(node, image=""), status="ready")
    kind, detail, refreshed = _compare_power(node, seen)
    if not kind and node.running:
        kind, detail, refreshed = _compare_size(node, seen)
    if not kind and seen.autostart is not None and seen.autostart != (node.autostart and node.running):
        detail = "starts with its host, recorded as not to" if seen.autostart else "does not start with its host, recorded as to"
        kind, refreshed = "changed", replace(node, autostart=seen.autostart)
    kind, detail, refreshed = _compare_disks(kind, detail, refreshed, seen)
    kind, detail, refreshed = _compare_interfaces(kind, detail, refreshed, seen)
    differences = [*difference_texts(seen)] if node.running else []
    manual_changes = [*manual_change_texts(seen)]
    if differences:
        kind = kind or "changed"
    elif manual_changes:
        kind = kind or ("snapshot" if seen.layers else "added")
    if not kind:
        return None, record
    details = "; ".join(filter(None, (detail, *differences, *manual_changes)))
    return drift(kind, details), replace(record, resource=refreshed)


def _compare_disks(
    kind: DriftKind | Literal[""], detail: str, node: Node, seen: ObservedNode
) -> tuple[DriftKind | Literal[""], str, Node]:
    """Return the given drift and node, with differences in the further disks. One that is off gets its disks when it boots."""
    disks = compare_disks(node, seen) if node.running else ComparedDisks(node)
    if not disks.detail:
        return kind, detail, node
    return kind or "changed", "; ".join(filter(None, (detail, disks.detail))), disks.node


def _compare_interfaces(
    kind: DriftKind | Literal[""], detail: str, node: Node, seen: ObservedNode
) -> tuple[DriftKind | Literal[""], str, Node]:
    """Return the given drift and node, with the MACs and addresses that the site has chosen since.

    They are unknown if the machine is off: its boot names them.
    """
    moved = moved_interfaces(node, seen.interfaces)
    if not moved:
        return kind, detail, node
    if not node.running:
        return kind, detail, without_interfaces(node, seen.interfaces)
    return kind or "changed", "; ".join((*filter(None, (detail,)), *moved)), with_interfaces(node, seen.interfaces)


def _compare_power(node: Node, seen: ObservedNode) -> tuple[DriftKind | Literal[""], str, Node]:
    """Return the drift of a machine's power, empty if there is none, and the refreshed node.

    A paused machine counts as running. The definition of a machine that is off does not matter.
    """
    why = f" ({seen.why})" if seen.why else ""
    match seen.status:
        case "undefined" if node.running:
            return "undefined", "is no longer defined at the site; its disk exists", replace(node, running=False)
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


def _compare_size(node: Node, seen: ObservedNode) -> tuple[DriftKind | Literal[""], str, Node]:
    """Return the drift of a running machine's size, as :func:`_compare_power`."""
    details: list[str] = []
    if (seen.cpus, seen.memory_mib) != (node.cpus, node.memory_mib):
        details.append(f"has {_dimensions(seen.cpus, seen.memory_mib)}, recorded {_dimensions(node.cpus, node.memory_mib)}")
    if seen.flavor not in (None, node.flavor):
        details.append(f"has the flavor {seen.flavor}, recorded {node.flavor or 'none'}")
    if not details:
        return "", "", node
    flavor = node.flavor if seen.flavor is None else seen.flavor
    return "changed", "; ".join(details), replace(node, cpus=seen.cpus, memory_mib=seen.memory_mib, flavor=flavor)


def _dimensions(cpus: int, memory_mib: int) -> str:
    return f"{counted(cpus, 'cpu')} and {memory_mib} MiB"


def _detached(
    drift: Drift | None, record: Record, node: Node, lost: frozenset[str], seen: ObservedNode | None
) -> tuple[Drift | None, Record]:
    """Return ``drift`` and ``record``, extended if interfaces of a running node are detached.

    Recreating or restarting a network detaches the machines that run on it.
    """
    unplugged = seen.unplugged if seen is not None else ()
    detached = [nic.network for nic in node.nics if nic.network in lost or nic.mac.lower() in unplugged]
    if not detached or not node.running or record.status == "pending" or (drift is not None and record.status == "degraded"):
        return drift, record
    nics = tuple(replace(nic, segment="") if nic.network in detached else nic for nic in node.nics)
    why = "is lost" if lost.intersection(detached) else "was restarted under it"
    extended = Drift(address=record.address, kind="changed", detail=f"is cut off: network {', '.join(detached)} {why}")
    if drift is not None:
        extended = replace(extended, detail=f"{extended.detail}; {drift.detail}", added=drift.added)
    return extended, replace(record, resource=replace(node, nics=nics))


def _without_lost_addresses(allocation: Allocation, seen: ObservedAllocation) -> Allocation:
    """Return ``allocation`` without translated addresses that its site no longer grants: the site chooses others."""
    public = tuple(
        replace(grant, address=UNKNOWN) if grant.translated and grant.address not in seen.public else grant
        for grant in allocation.public
    )
    return allocation if public == allocation.public else replace(allocation, public=public)


def _compare_allocation(
    record: Record, allocation: Allocation, seen: ObservedAllocation | None, faults: list[str]
) -> tuple[Drift | None, Record]:
    if seen is None:
        return Drift(address=record.address, kind="gone", detail="is gone from the site"), record
    vlans = dict(seen.vlans)
    lost = [
        f"network {network.name}"
        for network in allocation.networks
        if (network.is_made or network.vlan is not None)
        and (network.name not in seen.networks or vlans.get(network.name, network.vlan) != network.vlan)
    ]
    granted = {grant.address for grant in allocation.public if grant.address}
    lost += [f"public address {address}" for address in sorted(granted.difference(seen.public))]
    # A request whose response was lost can take effect after the one that replaced it.
    known = {network.name for network in allocation.networks}
    extra = [f"network {name}" for name in seen.networks if name not in known]
    extra += [f"public address {address}" for address in seen.public if address not in granted]
    details = [*([f"has lost {', '.join(lost)}"] if lost else []), *faults, *seen.faults]
    details += [f"still has {', '.join(extra)}"] if extra else []
    if not details:
        return None, record
    return Drift(address=record.address, kind="changed", detail="; ".join(details)), replace(record, status="pending")
