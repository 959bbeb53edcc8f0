"""Clusters of which a plan touches the power alone: they stay as recorded, and what the spec wants otherwise waits. Pure.

They are those that ``boot`` and ``shutdown`` name, and those that the spec wants to be off: a node that does not run is not made
anew, because the old disk would be lost before the new one is of use.
"""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import Where
from pragmaspec.planning.actions import NEW, NO_LONGER_WANTED
from pragmaspec.planning.allocation.allocator import satisfies
from pragmaspec.planning.desired import Desired, desired_nodes
from pragmaspec.planning.diff import changed_fields
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.impact import changed_fields_text, node_impact
from pragmaspec.planning.plan import PendingChange, Until
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted, WantedCluster
from pragmaspec.resources import Allocation, Node, StagedImage
from pragmaspec.state_model import Record, State

_LEARNT_LATER = frozenset(("keys", "peers"))
"""Fields that a node which is off is told of when it runs again."""


class PowerOnlyChanges(NamedTuple):
    """A cluster as a plan that touches its power alone shall have it, and what waits."""

    desired: list[Desired]
    pending: list[PendingChange]


def is_power_only(cluster: WantedCluster, seen: RefreshedState, request: PlanRequest) -> bool:
    """True if only the power of ``cluster`` may change. Switching on a cluster that was never created creates it."""
    records = cluster_records(cluster.name, seen.state)
    if request.switches(cluster.name):
        return not request.wants_running(cluster.name, cluster.running) or any(records)
    return not cluster.running and any(
        isinstance(record.resource, Node) and record.resource.site == cluster.site and _stands(record, seen.gone | seen.unmade)
        for record in records
    )


def cluster_records(name: str, state: State) -> Iterable[Record]:
    """The nodes and allocations that are recorded of the cluster ``name``, at every site."""
    return (
        record for record in state.records if isinstance(record.resource, Node | Allocation) and record.resource.cluster == name
    )


def power_only_changes(wanted: Wanted, cluster: WantedCluster, seen: RefreshedState, request: PlanRequest) -> PowerOnlyChanges:
    """``cluster``, which :func:`is_power_only`, with the power that is asked for."""
    return _PowerOnlyCluster(wanted, cluster, seen, request).result()


def unwanted_power_changes(name: str, seen: RefreshedState, request: PlanRequest) -> PowerOnlyChanges:
    """The recorded cluster ``name``, which the spec no longer has, with the power that ``request`` asks for."""
    return _unwanted(cluster_records(name, seen.state), seen, request.wants_running(name, otherwise=False))


class _PowerOnlyCluster:
    """Works one cluster out."""

    def __init__(self, wanted: Wanted, cluster: WantedCluster, seen: RefreshedState, request: PlanRequest) -> None:
        self._wanted = wanted
        self._cluster = cluster
        self._seen = seen
        self._running = request.wants_running(cluster.name, cluster.running)
        self._switched = request.switches(cluster.name)
        self._until: Until = "apply" if self._switched else "running"
        # A node that was begun may still come to be where a call takes effect late: switching off goes by what is recorded.
        self._gone = seen.gone if self._switched else seen.gone | seen.unmade
        self._detail = {drift.address: drift.detail for drift in seen.drift}
        self._desired: list[Desired] = []
        self._pending: list[PendingChange] = []

    def result(self) -> PowerOnlyChanges:
        record = self._seen.state.record(f"{self._cluster.site}/{self._cluster.name}/allocation")
        allocation = record.resource if record is not None and isinstance(record.resource, Allocation) else None
        known: set[str] = set()
        if allocation is not None:
            known.add(allocation.address)
            fits = self._keep_allocation(allocation)
            for node, where in self._wanted_nodes(allocation, fits=fits):
                known.add(node.address)
                self._node(node, where, fits=fits)
        if self._switched:
            others = [each for each in cluster_records(self._cluster.name, self._seen.state) if each.address not in known]
            more = _unwanted(others, self._seen, self._running)
            self._desired += more.desired
            self._pending += more.pending
        return PowerOnlyChanges(self._desired, self._pending)

    def _keep_allocation(self, allocation: Allocation) -> bool:
        """Keep ``allocation``. True if it matches the spec, so that missing nodes can be created on it."""
        cluster, site = self._cluster, self._wanted.site(self._cluster.site)
        fits = site is not None and satisfies(allocation, cluster, site) and allocation.private.mtu == cluster.mtu
        if not self._switched:
            allocation = replace(allocation, protect=cluster.protect)
        if self._running or not self._switched:
            self._desired.append(Desired(allocation, cluster.where))
        if not fits:
            self._pending.append(self._waiting(allocation.address, "networks or public address changed", cluster.where))
        return fits

    def _wanted_nodes(self, allocation: Allocation, *, fits: bool) -> list[tuple[Node, Where | None]]:
        """The nodes as the spec wants them. Their interfaces are not known before its networks are granted."""
        cluster, state = self._cluster, self._seen.state
        moved = {record.address: record for record in cluster_records(cluster.name, state) if record.origin}
        if not fits:
            cluster, allocation = replace(cluster, networks=()), replace(allocation, networks=allocation.networks[:1])
        found = desired_nodes(self._wanted, cluster, allocation, state.lineage, self._running, moved)
        return [(entry.resource, entry.where) for entry in found if isinstance(entry.resource, Node)]

    def _node(self, asked: Node, where: Where | None, *, fits: bool) -> None:
        record = self._seen.state.record(asked.address)
        before = record.resource if record is not None else None
        if record is None or not isinstance(before, Node) or not _stands(record, self._gone):
            self._missing(asked, where, recorded=record is not None, fits=fits)
        elif before.image:
            kept = replace(before, running=asked.running)
            if not self._switched:
                kept = replace(kept, protect=asked.protect, readiness=asked.readiness)
            if not self._switched or before.running != asked.running:
                kept = replace(kept, autostart=asked.autostart)  # it goes with the power
            self._desired.append(Desired(kept, where))
            unknown = {*self._cluster.unknown, *(() if fits else ("nics", "peers"))}
            self._wait_for(kept, asked, unknown, where)
        elif self._switched:
            self._pending.append(self._waiting(asked.address, self._detail.get(asked.address, "has no disk"), where))
        else:
            self._desired.append(Desired(asked, where))  # nothing of it is left to lose

    def _missing(self, asked: Node, where: Where | None, *, recorded: bool, fits: bool) -> None:
        """A node that is not there is made as the spec says when it shall run; shutting down what is gone leaves its record."""
        if self._running and (not fits or self._cluster.unknown):
            self._pending.append(self._waiting(asked.address, self._detail[asked.address] if recorded else NEW, where))
        elif self._running or not self._switched:
            self._desired.append(Desired(asked, where))

    def _wait_for(self, before: Node, asked: Node, unknown: set[str], where: Where | None) -> None:
        hidden = set(unknown) if self._switched else {*unknown, *_LEARNT_LATER}
        role = self._cluster.frontend if before.role == "frontend" else self._cluster.computes
        if "image" in unknown and role.disk_bytes is None:
            hidden.add("disk_bytes")  # it would be as large as the image
        if self._boots_another(before, role.image):
            hidden.discard("image")
        fields = tuple(name for name in changed_fields(before, asked) if name not in hidden)
        if fields:
            impact = node_impact(before, asked, fields)
            waiting = self._waiting(asked.address, changed_fields_text(fields), where)
            self._pending.append(replace(waiting, impact=impact))

    def _boots_another(self, node: Node, image: str) -> bool:
        """True if ``image`` is not the image of ``node``; by name, where nothing else of ``image`` is known."""
        record = self._seen.state.record(f"{node.site}/image/{node.image[:16]}")
        return record is not None and isinstance(record.resource, StagedImage) and record.resource.name != image

    def _waiting(self, address: str, reason: str, where: Where | None) -> PendingChange:
        return PendingChange(address=address, reason=reason, until=self._until, where=where)


def _unwanted(records: Iterable[Record], seen: RefreshedState, running: bool) -> PowerOnlyChanges:
    """Recorded resources that the spec no longer wants, with the requested power state."""
    desired: list[Desired] = []
    pending: list[PendingChange] = []
    for record in records:
        resource = record.resource
        if isinstance(resource, Node):
            pending.append(PendingChange(address=record.address, reason=NO_LONGER_WANTED, impact="data-loss"))
            if _stands(record, seen.gone) and resource.image:
                desired.append(Desired(replace(resource, running=running, autostart=resource.autostart and running), None))
        elif running:
            desired.append(Desired(resource, None))
    return PowerOnlyChanges(desired, pending)


def _stands(record: Record, gone: frozenset[str]) -> bool:
    return record.address not in gone
