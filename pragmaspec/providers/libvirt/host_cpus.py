"""CPUs of a hypervisor host to which nodes can be pinned, and the machines that are pinned to them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pragmaspec.errors import Problem, SiteConflictError
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.allocation.pinning import reserved_cpus
from pragmaspec.planning.observed import Difference, ExclusiveUse, HostCpu
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain, list_domains
from pragmaspec.providers.libvirt.domains.pinning import CpuPin, cpu_set, used_cpus
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import UNCHOSEN, Mark, Node


class CpuInventory(NamedTuple):
    """CPUs of a host, with the names of fields of :class:`~pragmaspec.planning.observed.Inventory`."""

    host_cpus: tuple[HostCpu, ...] | None
    cpu_uses: tuple[ExclusiveUse, ...]


def cpu_inventory(host: Host, machines: Iterable[ObservedDomain]) -> CpuInventory:
    """Take the inventory of the host's CPUs; None if libvirt does not know its topology."""
    cpus = host_cpus(host)
    return CpuInventory(cpus or None, tuple(sorted(_uses(machines, cpus), key=lambda use: (int(use.value), use.owner))))


def host_cpus(host: Host) -> tuple[HostCpu, ...]:
    """Return the online CPUs of the host, by number."""
    found = [
        HostCpu(
            id=int(cpu.get("id", "0")),
            core=min(cpu_set(cpu.get("siblings", "")) or {int(cpu.get("id", "0"))}),
            cell=int(cell.get("id", "0")),
        )
        for cell in host.capabilities.findall("host/topology/cells/cell")
        for cpu in cell.findall("cpus/cpu")
    ]
    return tuple(sorted(found, key=lambda cpu: cpu.id))


def pin_of(host: Host, node: Node) -> CpuPin | None:
    """Return the pinned CPUs of the node's domain; None if it has none.

    QEMU's other threads run on the CPUs that are reserved for the host, or else on those that the node does not have.
    """
    if not node.pinned or UNCHOSEN in node.pinned:
        return None
    cpus = host_cpus(host)
    every = {cpu.id for cpu in cpus}
    reserved = reserved_cpus(cpus, host.site.reserve.cpus) - set(node.pinned)
    cells = {cpu.cell for cpu in cpus}
    own = {cpu.cell for cpu in cpus if cpu.id in node.pinned}
    return CpuPin(
        cpus=node.pinned,
        emulator=tuple(sorted(reserved or every - set(node.pinned))),
        cell=min(own) if len(cells) > 1 and len(own) == 1 else None,
    )


def vanished_cpus(host: Host, node: Node) -> Iterator[Difference]:
    """Yield a difference if the host no longer has CPUs of ``node``: its next start would fail."""
    gone = set(node.pinned) - {UNCHOSEN, *(cpu.id for cpu in host_cpus(host))} if node.pinned else set()
    if gone:
        yield Difference(f"the host no longer has its CPUs {cpu_ranges(tuple(gone))}", "restart")


def require_cpus(host: Host, node: Node, own_marks: Iterable[Mark]) -> None:
    """Raise SiteConflictError when a machine without one of ``own_marks`` runs and is pinned to a CPU of ``node``."""
    if not node.pinned:
        return
    ours = {(mark.lineage, mark.address) for mark in own_marks}
    running = list_domains(host, lambda domain: bool(domain.isActive()))
    problems = [
        Problem(
            summary="CPU in use",
            detail=f"{node.name} needs the CPU {use.value} of site {host.site.name}, to which {use.owner} is pinned. Plan again "
            "to choose another.",
        )
        for use in _uses(running, host_cpus(host))
        if int(use.value) in node.pinned and (use.lineage, use.address) not in ours
    ]
    if problems:
        raise SiteConflictError.of(problems)


def _uses(machines: Iterable[ObservedDomain], cpus: Iterable[HostCpu]) -> Iterator[ExclusiveUse]:
    every = frozenset(cpu.id for cpu in cpus)
    for machine in machines:
        owner = machine.owner
        running = frozenset() if machine.active is None else used_cpus(machine.active, every)
        for cpu in used_cpus(machine.definition, every) | running:
            yield ExclusiveUse(
                value=str(cpu),
                owner=str(owner) if owner else f"machine {machine.name}",
                lineage=owner.lineage if owner else None,
                address=owner.address if owner else None,
                running=cpu in running,
            )
