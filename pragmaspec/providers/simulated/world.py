"""The contents of a simulated site: objects by key, with indexes that make every query cheap."""

from collections import Counter
from collections.abc import Mapping

from pragmaspec.planning.observed import QuotaBasis
from pragmaspec.providers.simulated.objects import (
    CallCount,
    Grant,
    Image,
    Key,
    RemovedObject,
    SimulatedMachine,
    SimulatedVolume,
    SiteObject,
    grant_amounts,
    machine_amounts,
    volume_amounts,
)


class World:
    """The objects of one site. Not thread-safe: see :class:`~pragmaspec.providers.simulated.shared_world.SharedWorld`.

    ``changes`` collects additions and removals until it is cleared. An operation checks everything before its first ``put``, so a
    refused one leaves no trace.
    """

    def __init__(self) -> None:
        self.first_name = ""
        """The name under which the site was first used, from its file; empty: unused, or in memory."""
        self.machines: dict[Key, SimulatedMachine] = {}
        self.made = 0
        self._at: dict[tuple[str, str], dict[Key, SimulatedMachine]] = {}
        self.grants: dict[Key, Grant] = {}
        self.images: dict[Key, Image] = {}
        self.calls: dict[Key, CallCount] = {}
        self.volumes: dict[Key, SimulatedVolume] = {}
        self.vlans: dict[int, Grant] = {}
        self.addresses: dict[str, Grant] = {}
        self.hosts: dict[str, Key] = {}
        """The machines by the addresses that the site has chosen for them."""
        self._users: dict[str, dict[Key, SimulatedMachine]] = {}
        self.cpus = 0
        self.memory_mib = 0
        self.disk_bytes = 0
        self.amounts: Counter[QuotaBasis] = Counter()
        """Amounts of all machines, grants and volumes that quotas count."""
        self.changes: list[SiteObject | RemovedObject] = []

    def __len__(self) -> int:
        return len(self.machines) + len(self.grants) + len(self.images) + len(self.calls) + len(self.volumes)

    def everything(self) -> tuple[SiteObject, ...]:
        """All objects, by kind, in the order of their creation."""
        return (
            *self.images.values(),
            *self.grants.values(),
            *self.volumes.values(),
            *self.machines.values(),
            *self.calls.values(),
        )

    def machines_at(self, lineage: str, address: str) -> tuple[SimulatedMachine, ...]:
        """The machines of ``lineage`` at ``address``, oldest first."""
        return tuple(self._at.get((lineage, address), {}).values())

    def machine(self, lineage: str, address: str) -> SimulatedMachine | None:
        """The oldest machine of ``lineage`` at ``address``, or None."""
        return next(iter(self._at.get((lineage, address), {}).values()), None)

    def next_made(self) -> int:
        """The number of the next created object."""
        return self.made + 1

    def grant(self, lineage: str, address: str) -> Grant | None:
        """The grant of ``lineage`` at ``address``, or None."""
        return self.grants.get(("grant", lineage, address))

    def image(self, digest: str) -> Image | None:
        """The image with ``digest``, or None."""
        return self.images.get(("image", "", digest))

    def volume(self, name: str) -> SimulatedVolume | None:
        """The volume called ``name``, or None."""
        return self.volumes.get(("volume", "", name))

    def users_of(self, volume: str) -> tuple[SimulatedMachine, ...]:
        """The machines that have the volume attached."""
        return tuple(self._users.get(volume, {}).values())

    def put(self, added: SiteObject) -> None:
        """Add the object, in the place of one with its key."""
        self.apply(added)
        self.changes.append(added)

    def remove(self, key: Key) -> None:
        """Remove the object with ``key``. Absent: no effect."""
        if self._discard(key) is not None:
            self.changes.append(RemovedObject(key=key))

    def apply(self, change: SiteObject | RemovedObject) -> None:
        """Apply a line of the file, without recording it as a change."""
        key = change.key
        if isinstance(change, SimulatedMachine):
            before = self.machines.get(key)
            if before is not None:
                self._count(before, -1)
                self._detach(before)
            self._attach(change)
            self.machines[key] = change
            self._at.setdefault((change.lineage, change.address), {})[key] = change
            self.made = max(self.made, change.made)
            self._count(change, 1)
            return
        self._discard(key)
        if isinstance(change, Grant):
            self.grants[key] = change
            self.made = max(self.made, change.made)
            self._index(change)
        elif isinstance(change, SimulatedVolume):
            self.volumes[key] = change
            self.made = max(self.made, change.made)
            self.disk_bytes += change.size_bytes
            self._add_amounts(volume_amounts(change), 1)
        elif isinstance(change, Image):
            self.images[key] = change
        elif isinstance(change, CallCount):
            self.calls[key] = change

    def _discard(self, key: Key) -> SiteObject | None:
        kind = key[0]
        if kind == "machine":
            machine = self.machines.pop(key, None)
            if machine is not None:
                self._count(machine, -1)
                self._detach(machine)
                machines = self._at[machine.lineage, machine.address]
                del machines[key]
                if not machines:
                    del self._at[machine.lineage, machine.address]
            return machine
        if kind == "grant":
            grant = self.grants.pop(key, None)
            if grant is not None:
                self._unindex(grant)
            return grant
        if kind == "volume":
            volume = self.volumes.pop(key, None)
            if volume is not None:
                self.disk_bytes -= volume.size_bytes
                self._add_amounts(volume_amounts(volume), -1)
            return volume
        return self.images.pop(key, None) if kind == "image" else self.calls.pop(key, None)

    def _count(self, machine: SimulatedMachine, sign: int) -> None:
        self._add_amounts(machine_amounts(machine), sign)
        if machine.status == "running":
            self.cpus += sign * machine.cpus
            self.memory_mib += sign * machine.memory_mib
        self.disk_bytes += sign * machine.total_disk_bytes

    def _attach(self, machine: SimulatedMachine) -> None:
        for disk in machine.disks:
            if disk.volume:
                self._users.setdefault(disk.volume, {})[machine.key] = machine
        self.hosts.update((each.address, machine.key) for each in machine.interfaces)

    def _detach(self, machine: SimulatedMachine) -> None:
        for disk in machine.disks:
            if disk.volume:
                self._users[disk.volume].pop(machine.key, None)
        for each in machine.interfaces:
            self.hosts.pop(each.address, None)

    def _add_amounts(self, amounts: Mapping[QuotaBasis, int], sign: int) -> None:
        for basis, amount in amounts.items():
            self.amounts[basis] += sign * amount

    def _index(self, grant: Grant) -> None:
        self._add_amounts(grant_amounts(grant), 1)
        self.vlans.update((network.vlan, grant) for network in grant.networks if network.vlan is not None)
        self.addresses.update((address, grant) for address in grant.public)

    def _unindex(self, grant: Grant) -> None:
        self._add_amounts(grant_amounts(grant), -1)
        for network in grant.networks:
            if network.vlan is not None:
                self.vlans.pop(network.vlan, None)
        for address in grant.public:
            self.addresses.pop(address, None)
