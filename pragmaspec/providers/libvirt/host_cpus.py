"""CPUs of a hypervisor host to which nodes can be pinned, and the machines that are pinned to them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

from pragmaspec.errors import SiteConflictError
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.allocation.pinning import reserved_cpus
from pragmaspec.planning.observed import Difference, ExclusiveUse, HostCpu
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain
from pragmaspec.providers.libvirt.domains.pinning import CpuPin, cpu_set, used_cpus
from pragmaspec.providers.libvirt.exclusive_uses import UsedParts, conflicts, exclusive_uses, in_use_problem
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import UNCHOSEN, Mark, Node


class CpuInventory(NamedTuple):
    """CPUs of a host, with the names of fields of :class:`~pragmaspec.planning.observed.Inventory`."""

    host_cpus: tuple[HostCpu, ...] | None
    cpu_uses: tuple[ExclusiveUse, ...]


def cpu_inventory(host: Host, machines: Iterable[ObservedDomain]) -> CpuInventory:
    """Take the inventory of the host's CPUs; None if libvirt does not know its topology."""
    cpus = host_cpus(host)
    uses = exclusive_uses(machines, _used_by(cpus))
    return CpuInventory(cpus or None, tuple(sorted(uses, key=lambda use: (int(use.value), use.owner))))


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
    found = conflicts(host, _used_by(host_cpus(host)), frozenset(map(str, node.pinned)), own_marks)
    problems = [in_use_problem(host, node, "CPU", use) for use in found]
    if problems:
        raise SiteConflictError.of(problems)


def _used_by(cpus: Iterable[HostCpu]) -> UsedParts:
    every = frozenset(cpu.id for cpu in cpus)

    def used(domain: Element) -> frozenset[str]:
        return frozenset(map(str, used_cpus(domain, every)))

    return used
