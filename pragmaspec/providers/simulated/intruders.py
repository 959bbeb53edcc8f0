"""Changes to a simulated site by others: their machines and claims, and accidents to ours.

For tests and demos::

    outside = Outside(site)
    outside.takes_vlan(20, owner="the chemists")
    outside.undefines(lineage, "lab/hello/node/hello-compute-0")
"""

from msgspec.structs import replace

from pragmaspec.providers.simulated.objects import Grant, GrantedNetwork, SimulatedMachine
from pragmaspec.providers.simulated.shared_world import SharedWorld, shared_world
from pragmaspec.site import SimulatedSite


class Outside:
    """Other hands at the same site. Each method acts at once, without latency and faults."""

    def __init__(self, site: SimulatedSite, world: SharedWorld | None = None) -> None:
        self._world = world or shared_world(site)

    def holds(self, owner: str, *, cpus: int = 0, memory_mib: int = 0, disk_bytes: int = 0) -> None:
        """``owner`` runs one machine of this size; again: in its place."""
        with self._world.changing() as world:
            world.put(SimulatedMachine(address=owner, cpus=cpus, memory_mib=memory_mib, disk_bytes=disk_bytes))

    def takes_vlan(self, vlan: int, *, owner: str, cidr: str = "") -> None:
        """``owner`` has a network with this VLAN number."""
        with self._world.changing() as world:
            world.put(
                Grant(
                    address=owner, networks=(GrantedNetwork(name="private", cidr=cidr or f"10.{vlan % 256}.0.0/24", vlan=vlan),)
                )
            )

    def takes_address(self, address: str, *, owner: str) -> None:
        """``owner`` has this public address."""
        with self._world.changing() as world:
            world.put(Grant(address=owner, public=(address,)))

    def leaves(self, owner: str) -> None:
        """``owner``'s machine and claims are gone."""
        with self._world.changing() as world:
            world.take(("machine", "", owner))
            world.take(("grant", "", owner))

    def powers_off(self, lineage: str, address: str) -> None:
        """The node is powered off (``virsh destroy``)."""
        self._alter(lineage, address, status="off")

    def undefines(self, lineage: str, address: str) -> None:
        """The definition is removed, and the disk left (``virsh undefine`` after ``virsh destroy``)."""
        self._alter(lineage, address, status="undefined")

    def deletes_disk(self, lineage: str, address: str) -> None:
        """The disk of a machine that is off is deleted."""
        self._alter(lineage, address, status="off", disk=False)

    def sets_autostart(self, lineage: str, address: str, *, yes: bool) -> None:
        """The machine starts with its host, or no longer (``virsh autostart``)."""
        self._alter(lineage, address, autostart=yes)

    def removes(self, lineage: str, address: str) -> None:
        """A node or an allocation is removed with everything that belongs to it."""
        with self._world.changing() as world:
            world.take(("machine", lineage, address))
            world.take(("grant", lineage, address))

    def downs_network(self, lineage: str, address: str, network: str) -> None:
        """One network of an allocation is taken down (``virsh net-destroy``)."""
        with self._world.changing() as world:
            grant = world.grant(lineage, address)
            if grant is not None:
                networks = tuple(replace(each, up=each.up and each.name != network) for each in grant.networks)
                world.put(replace(grant, networks=networks))

    def _alter(self, lineage: str, address: str, **changes: object) -> None:
        with self._world.changing() as world:
            machine = world.machine(lineage, address)
            if machine is not None:
                world.put(replace(machine, **changes))
