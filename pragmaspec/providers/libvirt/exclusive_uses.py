"""The devices and CPUs of a host that one machine has for itself: their uses, and those that prevent a start."""

from collections.abc import Callable, Container, Iterable, Iterator
from collections.abc import Set as AbstractSet
from xml.etree.ElementTree import Element

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.planning.observed import ExclusiveUse
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain, list_domains
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import Mark, Node
from pragmaspec.text import capitalized

UsedParts = Callable[[Element], AbstractSet[str]]
"""Returns the addresses or numbers of the devices or CPUs in the XML of a domain."""


def exclusive_uses(machines: Iterable[ObservedDomain], used: UsedParts) -> Iterator[ExclusiveUse]:
    """Yield the uses by ``machines``, running or in their definitions."""
    for machine in machines:
        running = frozenset() if machine.active is None else used(machine.active)
        for value in used(machine.definition) | running:
            use = ExclusiveUse.by(value, machine.owner, f"machine {machine.name}")
            yield replace(use, running=value in running)


def conflicts(host: Host, used: UsedParts, parts: Container[str], own_marks: Iterable[Mark]) -> Iterator[ExclusiveUse]:
    """Yield the uses of ``parts`` by running machines without one of ``own_marks``."""
    ours = {(mark.lineage, mark.address) for mark in own_marks}
    running = list_domains(host, lambda domain: bool(domain.isActive()))
    for use in exclusive_uses(running, used):
        if use.value in parts and (use.lineage, use.address) not in ours:
            yield use


def in_use_problem(host: Host, node: Node, kind: str, use: ExclusiveUse) -> Problem:
    """Return the problem that ``node`` cannot start because of ``use``. ``kind``: ``device`` or ``CPU``."""
    return Problem(
        summary=f"{capitalized(kind)} in use",
        detail=f"{node.name} needs the {kind} {use.value} of site {host.site.name}, which {use.owner} has. Plan again to choose "
        "another.",
    )
