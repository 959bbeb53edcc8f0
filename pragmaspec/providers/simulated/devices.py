"""Devices and CPUs of the simulated host that machines have for themselves: ``gpu-0``, ``gpu-1``, …, and CPUs by number."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pragmaspec.errors import Problem, SiteConflictError
from pragmaspec.planning.observed import ExclusiveUse, HostCpu, HostDevice
from pragmaspec.providers.simulated.objects import SimulatedMachine, describe_owner
from pragmaspec.providers.simulated.world import World
from pragmaspec.site import SimulatedSite
from pragmaspec.text import capitalized


def host_devices(world: World, site: SimulatedSite) -> tuple[HostDevice, ...]:
    """The devices that the site offers, and those that machines with marks still have."""
    offered = {address: alias for alias, count in site.devices for address in _addresses(alias, count)}
    kept = {address for machine in _users(world, _devices) if machine.lineage for address in machine.devices} - offered.keys()
    return (
        *(HostDevice(address=address, aliases=(alias,)) for address, alias in offered.items()),
        *(HostDevice(address=address) for address in sorted(kept)),
    )


def host_cpus(site: SimulatedSite) -> tuple[HostCpu, ...] | None:
    """The CPUs of the host, if machines can be pinned to them. The threads of a core have consecutive numbers."""
    host = site.host
    if not host.threads:
        return None
    return tuple(
        HostCpu(id=cpu, core=cpu - cpu % host.threads, cell=(cpu - cpu % host.threads) * host.cells // host.cpus)
        for cpu in range(host.cpus)
    )


def device_uses(world: World) -> tuple[ExclusiveUse, ...]:
    """The machines that have devices, by address of the device."""
    return tuple(sorted(_uses(world, _devices), key=lambda use: (use.value, use.owner)))


def cpu_uses(world: World) -> tuple[ExclusiveUse, ...]:
    """The machines that are pinned to CPUs, by CPU."""
    return tuple(sorted(_uses(world, _pinned), key=lambda use: (int(use.value), use.owner)))


def check_devices(world: World, site: SimulatedSite, before: SimulatedMachine | None, after: SimulatedMachine) -> None:
    """Raise SiteConflictError when another machine has a device of ``after``, or the site does not have it.

    A machine may keep a device that is no longer offered.
    """
    if after.devices:
        known = {device.address for device in host_devices(world, site)}
        _check(world, site, _Kind("device", known, _devices), before, after)


def check_pinned(world: World, site: SimulatedSite, before: SimulatedMachine | None, after: SimulatedMachine) -> None:
    """Raise SiteConflictError when another machine is pinned to a CPU of ``after``, or the host does not have it."""
    if after.pinned:
        known = {str(cpu.id) for cpu in host_cpus(site) or ()}
        _check(world, site, _Kind("CPU", known, _pinned), before, after)


class _Kind(NamedTuple):
    """A kind of things that one machine has for itself: its name, the known ones, and those of a machine."""

    name: str
    known: set[str]
    held: Callable[[SimulatedMachine], tuple[str, ...]]


def _check(world: World, site: SimulatedSite, kind: _Kind, before: SimulatedMachine | None, after: SimulatedMachine) -> None:
    wanted, keys = kind.held(after), {machine.key for machine in (before, after) if machine is not None}
    problems = [
        Problem(
            summary=f"The {kind.name} is gone",
            detail=f"{after.address} needs the {kind.name} {value}, which site {site.name} does not have. Plan again to choose "
            "another.",
        )
        for value in wanted
        if value not in kind.known
    ]
    problems += (
        Problem(
            summary=f"{capitalized(kind.name)} in use",
            detail=f"{after.address} needs the {kind.name} {value} of site {site.name}, which {describe_owner(other)} has. Plan "
            "again to choose another.",
        )
        for other in _users(world, kind.held)
        if other.key not in keys
        for value in wanted
        if value in kind.held(other)
    )
    if problems:
        raise SiteConflictError.of(problems)


def _devices(machine: SimulatedMachine) -> tuple[str, ...]:
    return machine.devices


def _pinned(machine: SimulatedMachine) -> tuple[str, ...]:
    return tuple(map(str, machine.pinned))


def _addresses(alias: str, count: int) -> Iterator[str]:
    return (f"{alias}-{index}" for index in range(count))


def _users(world: World, held: Callable[[SimulatedMachine], tuple[str, ...]]) -> list[SimulatedMachine]:
    """The machines that hold something: their disks alone, once they are undefined, hold nothing."""
    return [machine for machine in world.machines.values() if held(machine) and machine.status != "undefined"]


def _uses(world: World, held: Callable[[SimulatedMachine], tuple[str, ...]]) -> Iterator[ExclusiveUse]:
    for machine in _users(world, held):
        for value in held(machine):
            yield ExclusiveUse(
                value=value,
                owner=describe_owner(machine),
                lineage=machine.lineage or None,
                address=machine.address if machine.lineage else None,
                running=machine.status == "running",
            )
