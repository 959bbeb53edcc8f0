"""Inventory and observations of a simulated site. Pure functions of the world."""

from hashlib import sha256
from ipaddress import ip_interface

from pragmaspec.planning.observed import (
    CapacityUse,
    Inventory,
    Observations,
    ObservedAllocation,
    ObservedDisk,
    ObservedInterface,
    ObservedNode,
    ObservedVolume,
    PoolUse,
    PublicPool,
    SiteIdentity,
    StoredImage,
)
from pragmaspec.providers.simulated.devices import cpu_uses, device_uses, host_cpus, host_devices
from pragmaspec.providers.simulated.drift import RecordedParts, part_differences, recorded_parts
from pragmaspec.providers.simulated.objects import Grant, SimulatedMachine, SimulatedVolume, describe_owner
from pragmaspec.providers.simulated.quotas import site_quotas
from pragmaspec.providers.simulated.shared_world import in_memory
from pragmaspec.providers.simulated.world import World
from pragmaspec.site import SimulatedHost, SimulatedSite
from pragmaspec.state_model import State

PUBLIC = PublicPool(network="public", cidr="192.0.2.0/24", gateway="192.0.2.1", dns=("192.0.2.1",))
"""TEST-NET-1 (RFC 5737): addresses for documentation, which are not routed."""
MAX_CPUS_PER_NODE = 255


def site_identity(world: World, site: SimulatedSite) -> SiteIdentity:
    """The identity, which depends only on the first name of the site.

    It survives moving the file with its spec, removing the file, and renaming a site that keeps its file.
    """
    digest = sha256(f"simulated site {world.first_name or site.name}".encode()).hexdigest()
    where = f", {site.file}" if site.file else ""
    return SiteIdentity(
        id=f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}",
        title="simulated, in memory" if in_memory(site) else f"simulated{where}",
        virt_type="simulated",
    )


def site_inventory(world: World, site: SimulatedSite) -> Inventory:
    """Capacity, and its use by any owner."""
    host = site.host if site.host.visible else SimulatedHost(cpus=0, memory_mib=0, disk_bytes=0)
    staged_bytes = sum(image.size_bytes for image in world.images.values())
    return Inventory(
        identity=site_identity(world, site),
        cpus=host.cpus,
        memory_mib=host.memory_mib,
        disk_bytes=host.disk_bytes,
        # Disks of nodes are thin: their capacity is part of the usage, their allocation is negligible.
        disk_free_bytes=max(0, host.disk_bytes - staged_bytes),
        cpus_per_node=min(host.cpus, MAX_CPUS_PER_NODE),
        holdings=(*map(_holding, world.machines.values()), *map(_volume_holding, world.volumes.values())),
        public=_public(site),
        addresses=tuple(_taken(address, grant) for address, grant in world.addresses.items()),
        vlans=tuple(_taken(str(vlan), grant) for vlan, grant in world.vlans.items()),
        cidrs=tuple(
            _taken(network.cidr, grant) for grant in world.grants.values() for network in grant.networks if network.bridge is None
        ),
        images=tuple(image.digest for image in world.images.values()),
        flavors=site.flavors,
        quotas=site_quotas(world, site),
        reports_capacity=site.host.visible,
        firmware=("bios", "uefi") if site.host.uefi else ("bios",),
        volumes=tuple(_taken(volume.name, volume) for volume in world.volumes.values()),
        processors=site.processors or None,
        default_processor=site.default_processor,
        device_aliases=tuple(alias for alias, _ in site.devices),
        host_devices=host_devices(world, site),
        device_uses=device_uses(world),
        host_cpus=host_cpus(site),
        cpu_uses=cpu_uses(world),
    )


def site_observations(world: World, site: SimulatedSite, lineage: str, recorded: State | None = None) -> Observations:
    """All objects of ``lineage``. Machines are compared with ``recorded``; None: no comparison."""
    expected = recorded_parts(site, recorded)
    return Observations(
        site=site.name,
        identity=site_identity(world, site),
        nodes=tuple(_observed(site, machine, expected) for machine in world.machines.values() if machine.lineage == lineage),
        allocations=tuple(
            ObservedAllocation(
                address=grant.address,
                networks=tuple(network.name for network in grant.networks if network.up),
                public=grant.public,
                vlans=tuple(
                    (network.name, network.vlan) for network in grant.networks if network.up and network.vlan is not None
                ),
                op=grant.op,
                id=grant.id,
                made=grant.made,
            )
            for grant in world.grants.values()
            if grant.lineage == lineage
        ),
        images=tuple(image.digest for image in world.images.values() if lineage in image.users),
        volumes=tuple(
            ObservedVolume(address=each.address, size_bytes=each.size_bytes, op=each.op, id=each.id, made=each.made)
            for each in world.volumes.values()
            if each.lineage == lineage
        ),
    )


def stored_images(world: World) -> tuple[StoredImage, ...]:
    """Every image, by digest."""
    used = {machine.image for machine in world.machines.values() if machine.disk}
    return tuple(
        StoredImage(
            digest=image.digest,
            size_bytes=image.size_bytes,
            users=tuple(sorted(lineage[:8] for lineage in image.users)),
            held=image.digest in used,
        )
        for image in sorted(world.images.values(), key=lambda image: image.digest)
    )


def observed_interfaces(site: SimulatedSite, machine: SimulatedMachine) -> tuple[ObservedInterface, ...]:
    """Return the interfaces of ``machine`` with the values that the site has chosen."""
    return tuple(
        ObservedInterface(
            network=each.network,
            mac=each.mac if "macs" in site.late else "",
            address=each.address if "private" in site.late and each.network != "public" else "",
        )
        for each in (machine.interfaces if site.late else ())
    )


def _observed(site: SimulatedSite, machine: SimulatedMachine, expected: RecordedParts | None) -> ObservedNode:
    return ObservedNode(
        address=machine.address,
        generation=machine.generation,
        status=machine.status,
        cpus=machine.cpus,
        memory_mib=machine.memory_mib,
        disk=machine.disk,
        autostart=machine.autostart,
        flavor=machine.flavor or None,
        op=machine.op,
        id=machine.id,
        made=machine.made,
        disks=tuple(ObservedDisk(name=disk.name, size_bytes=disk.size_bytes) for disk in machine.disks if not disk.volume),
        volumes=tuple(disk.volume for disk in machine.disks if disk.volume),
        interfaces=observed_interfaces(site, machine),
        differences=part_differences(machine, expected) if expected is not None else (),
    )


def _holding(machine: SimulatedMachine) -> CapacityUse:
    running = machine.status == "running"
    lineage, address = _marks(machine)
    return CapacityUse(
        owner=describe_owner(machine),
        cpus=machine.cpus if running else 0,
        memory_mib=machine.memory_mib if running else 0,
        disk_bytes=machine.total_disk_bytes,
        lineage=lineage,
        address=address,
    )


def _volume_holding(volume: SimulatedVolume) -> CapacityUse:
    lineage, address = _marks(volume)
    return CapacityUse(owner=describe_owner(volume), disk_bytes=volume.size_bytes, lineage=lineage, address=address)


def _marks(owned: SimulatedMachine | SimulatedVolume | Grant) -> tuple[str | None, str | None]:
    """Lineage and address, as in a use of capacity; None for a foreign object."""
    return (owned.lineage, owned.address) if owned.lineage else (None, None)


def _taken(value: str, holder: Grant | SimulatedVolume) -> PoolUse:
    lineage, address = _marks(holder)
    return PoolUse(value=value, owner=describe_owner(holder), lineage=lineage, address=address)


def _public(site: SimulatedSite) -> PublicPool:
    public = site.public
    if public is None:
        return PUBLIC
    if public.gateway is None or public.prefix is None:
        return PublicPool(network=public.network, bridge=public.bridge, cidr=PUBLIC.cidr, gateway=PUBLIC.gateway, dns=PUBLIC.dns)
    return PublicPool(
        network=public.network,
        bridge=public.bridge,
        cidr=str(ip_interface(f"{public.gateway}/{public.prefix}").network),
        gateway=public.gateway,
        dns=public.dns,
    )
