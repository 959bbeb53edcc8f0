"""Changes to a simulated site by others: foreign machines and claims, and accidents to the stack's own objects."""

from msgspec.structs import replace

from pragmaspec.providers.simulated.objects import Grant, GrantedNetwork, SimulatedMachine
from pragmaspec.providers.simulated.shared_world import SharedWorld


class Intruder:
    """Another user of the same site. Each method acts at once, without latency and faults."""

    def __init__(self, world: SharedWorld) -> None:
        self._world = world

    def run_machine(self, owner: str, *, cpus: int = 0, memory_mib: int = 0, disk_bytes: int = 0) -> None:
        with self._world.writing() as world:
            world.put(SimulatedMachine(address=owner, cpus=cpus, memory_mib=memory_mib, disk_bytes=disk_bytes))

    def take_vlan(self, vlan: int, *, owner: str) -> None:
        network = GrantedNetwork(name="private", cidr=f"10.{vlan % 256}.0.0/24", vlan=vlan)
        with self._world.writing() as world:
            world.put(Grant(address=owner, networks=(network,)))

    def take_address(self, address: str, *, owner: str) -> None:
        with self._world.writing() as world:
            world.put(Grant(address=owner, public=(address,)))

    def leave(self, owner: str) -> None:
        """Remove the machine and the claims of ``owner``."""
        with self._world.writing() as world:
            world.remove(("machine", "", owner))
            world.remove(("grant", "", owner))

    def power_off(self, lineage: str, address: str) -> None:
        """As ``virsh destroy``."""
        self._alter(lineage, address, status="off")

    def undefine(self, lineage: str, address: str) -> None:
        """As ``virsh destroy`` and ``virsh undefine``, which leave the disk."""
        self._alter(lineage, address, status="undefined")

    def delete_disk(self, lineage: str, address: str) -> None:
        self._alter(lineage, address, status="off", disk=False)

    def set_autostart(self, lineage: str, address: str, *, enabled: bool) -> None:
        """As ``virsh autostart``."""
        self._alter(lineage, address, autostart=enabled)

    def remove(self, lineage: str, address: str) -> None:
        """Remove a node or an allocation with everything that belongs to it."""
        with self._world.writing() as world:
            world.remove(("machine", lineage, address))
            world.remove(("grant", lineage, address))

    def stop_network(self, lineage: str, address: str, network: str) -> None:
        """Stop one network of an allocation (``virsh net-destroy``)."""
        with self._world.writing() as world:
            grant = world.grant(lineage, address)
            if grant is not None:
                networks = tuple(replace(each, up=each.up and each.name != network) for each in grant.networks)
                world.put(replace(grant, networks=networks))

    def _alter(self, lineage: str, address: str, **changes: object) -> None:
        with self._world.writing() as world:
            machine = world.machine(lineage, address)
            if machine is not None:
                world.put(replace(machine, **changes))
