"""A simulated site's contents: objects by key, with the indexes that make every question cheap."""

from pragmaspec.providers.simulated.objects import CallCount, Grant, Image, Key, RemovedObject, SimulatedMachine, SiteObject


class World:
    """Everything at one site. Threads take turns at it: :class:`~pragmaspec.providers.simulated.shared_world.SharedWorld`.

    ``changes`` collects what was put and taken since somebody last emptied it. An operation checks everything before its first
    ``put``, so a refused one leaves no trace.
    """

    def __init__(self) -> None:
        self.machines: dict[Key, SimulatedMachine] = {}
        self.made = 0
        self._at: dict[tuple[str, str], dict[Key, SimulatedMachine]] = {}
        self.grants: dict[Key, Grant] = {}
        self.images: dict[Key, Image] = {}
        self.calls: dict[Key, CallCount] = {}
        self.vlans: dict[int, Grant] = {}
        self.addresses: dict[str, Grant] = {}
        self.cpus = 0
        self.memory_mib = 0
        self.disk_bytes = 0
        self.changes: list[SiteObject | RemovedObject] = []

    def __len__(self) -> int:
        return len(self.machines) + len(self.grants) + len(self.images) + len(self.calls)

    def everything(self) -> tuple[SiteObject, ...]:
        """Every object, kind by kind, in the order in which they came."""
        return (*self.images.values(), *self.grants.values(), *self.machines.values(), *self.calls.values())

    def machines_at(self, lineage: str, address: str) -> tuple[SimulatedMachine, ...]:
        """The machines at ``address`` that carry ``lineage``, the oldest first."""
        return tuple(self._at.get((lineage, address), {}).values())

    def machine(self, lineage: str, address: str) -> SimulatedMachine | None:
        """The oldest machine at ``address`` that carries ``lineage``, or None."""
        return next(iter(self._at.get((lineage, address), {}).values()), None)

    def next_made(self) -> int:
        """The number of what is about to be made."""
        return self.made + 1

    def grant(self, lineage: str, address: str) -> Grant | None:
        """What ``address`` of ``lineage`` holds, or None."""
        return self.grants.get(("grant", lineage, address))

    def image(self, digest: str) -> Image | None:
        """The image with ``digest``, or None."""
        return self.images.get(("image", "", digest))

    def put(self, thing: SiteObject) -> None:
        """Put ``thing`` in the place of what had its key."""
        self.apply(thing)
        self.changes.append(thing)

    def take(self, key: Key) -> None:
        """Take away what has ``key``; nothing there: no effect."""
        gone = RemovedObject(key=key)
        if self._forget(key) is not None:
            self.changes.append(gone)

    def apply(self, change: SiteObject | RemovedObject) -> None:
        """Do what a line of the file says, without noting it as a change."""
        key = change.key
        if isinstance(change, SimulatedMachine):
            before = self.machines.get(key)
            if before is not None:
                self._count(before, -1)
            self.machines[key] = change
            self._at.setdefault((change.lineage, change.address), {})[key] = change
            self.made = max(self.made, change.made)
            self._count(change, 1)
            return
        self._forget(key)
        if isinstance(change, Grant):
            self.grants[key] = change
            self.made = max(self.made, change.made)
            self._index(change)
        elif isinstance(change, Image):
            self.images[key] = change
        elif isinstance(change, CallCount):
            self.calls[key] = change

    def _forget(self, key: Key) -> SiteObject | None:
        kind = key[0]
        if kind == "machine":
            machine = self.machines.pop(key, None)
            if machine is not None:
                self._count(machine, -1)
                there = self._at[machine.lineage, machine.address]
                del there[key]
                if not there:
                    del self._at[machine.lineage, machine.address]
            return machine
        if kind == "grant":
            grant = self.grants.pop(key, None)
            if grant is not None:
                self._unindex(grant)
            return grant
        return self.images.pop(key, None) if kind == "image" else self.calls.pop(key, None)

    def _count(self, machine: SimulatedMachine, sign: int) -> None:
        if machine.status == "running":
            self.cpus += sign * machine.cpus
            self.memory_mib += sign * machine.memory_mib
        if machine.disk:
            self.disk_bytes += sign * machine.disk_bytes

    def _index(self, grant: Grant) -> None:
        self.vlans.update((network.vlan, grant) for network in grant.networks if network.vlan is not None)
        self.addresses.update((address, grant) for address in grant.public)

    def _unindex(self, grant: Grant) -> None:
        for network in grant.networks:
            if network.vlan is not None:
                self.vlans.pop(network.vlan, None)
        for address in grant.public:
            self.addresses.pop(address, None)
