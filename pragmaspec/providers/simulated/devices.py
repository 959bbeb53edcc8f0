"""Devices of the simulated host: ``gpu-0``, ``gpu-1``, …, and the machines that have them for themselves."""

from collections.abc import Iterator

from pragmaspec.errors import Problem, SiteConflictError
from pragmaspec.planning.observed import ExclusiveUse, HostDevice
from pragmaspec.providers.simulated.objects import SimulatedMachine, describe_owner
from pragmaspec.providers.simulated.world import World
from pragmaspec.site import SimulatedSite


def host_devices(world: World, site: SimulatedSite) -> tuple[HostDevice, ...]:
    """The devices that the site offers, and those that machines with marks still have."""
    offered = {address: alias for alias, count in site.devices for address in _addresses(alias, count)}
    kept = {address for machine in _users(world) if machine.lineage for address in machine.devices} - offered.keys()
    return (
        *(HostDevice(address=address, aliases=(alias,)) for address, alias in offered.items()),
        *(HostDevice(address=address) for address in sorted(kept)),
    )


def device_uses(world: World) -> tuple[ExclusiveUse, ...]:
    """The machines that have devices, by address of the device."""
    uses = [
        ExclusiveUse(
            value=address,
            owner=describe_owner(machine),
            lineage=machine.lineage or None,
            address=machine.address if machine.lineage else None,
            running=machine.status == "running",
        )
        for machine in _users(world)
        for address in machine.devices
    ]
    return tuple(sorted(uses, key=lambda use: (use.value, use.owner)))


def check_devices(world: World, site: SimulatedSite, before: SimulatedMachine | None, after: SimulatedMachine) -> None:
    """Raise SiteConflictError when another machine has a device of ``after``, or the site does not have it.

    A machine may keep a device that is no longer offered.
    """
    if not after.devices:
        return
    known = {device.address for device in host_devices(world, site)}
    problems = [
        Problem(
            summary="The device is gone",
            detail=f"{after.address} needs the device {address}, which site {site.name} does not have. Plan again to choose "
            "another.",
        )
        for address in after.devices
        if address not in known
    ]
    problems += (
        Problem(
            summary="Device in use",
            detail=f"{after.address} needs the device {address} of site {site.name}, which {describe_owner(other)} has. Plan "
            "again to choose another.",
        )
        for other in _users(world)
        if before is None or other.key != before.key
        for address in after.devices
        if other.key != after.key and address in other.devices
    )
    if problems:
        raise SiteConflictError.of(problems)


def _addresses(alias: str, count: int) -> Iterator[str]:
    return (f"{alias}-{index}" for index in range(count))


def _users(world: World) -> list[SimulatedMachine]:
    """The machines that have devices: their disks alone, once they are undefined, have none."""
    return [machine for machine in world.machines.values() if machine.devices and machine.status != "undefined"]
