"""Domains at the site: ours looked up with the check that they are ours, everybody's listed."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import libvirt

from pragmaspec.errors import Problem, SiteConflictError
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.failures import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.marks import Owner, domain_owner
from pragmaspec.providers.libvirt.markup import parsed
from pragmaspec.recorded import Mark, Node

KIB_PER_MIB = 1024


class SeenDomain(NamedTuple):
    """A domain as a listing shows it. ``defined``: it outlives its run; False after somebody undefined it while it ran."""

    name: str
    running: bool
    defined: bool
    cpus: int
    memory_mib: int
    owner: Owner | None


class OurDomain(NamedTuple):
    """A domain that carries the wanted mark, whatever its generation."""

    handle: libvirt.virDomain
    owner: Owner

    @property
    def running(self) -> bool:
        """Whether it is active at this moment."""
        return bool(self.handle.isActive())


def listed(host: Host, wanted: Callable[[str], bool]) -> Iterator[SeenDomain]:
    """Every domain whose name is ``wanted``. One that vanishes meanwhile is not there: that is what a later look would say."""
    handle = host.handle()
    every = handle.listAllDomains(0)
    transient = {domain.UUIDString() for domain in handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)}
    for domain in every:
        if wanted(domain.name()):
            with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
                yield _seen(domain, defined=domain.UUIDString() not in transient)


def _seen(domain: libvirt.virDomain, *, defined: bool) -> SeenDomain:
    root = parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    return SeenDomain(
        name=domain.name(),
        running=domain.ID() != -1,
        defined=defined,
        cpus=int(root.findtext("vcpu", "0")),
        memory_mib=int(root.findtext("memory", "0")) // KIB_PER_MIB,
        owner=domain_owner(root),
    )


def find_ours(host: Host, node: Node, mark: Mark) -> OurDomain | None:
    """The node's domain, or None when there is none or it is somebody else's."""
    found = holder(host, node, mark)
    if found is None or found[1] is None or not found[1].is_for(mark):
        return None
    return OurDomain(found[0], found[1])


def require_free_or_ours(host: Host, node: Node, mark: Mark) -> OurDomain | None:
    """The node's domain of this generation, None when its name is free. Raises SiteConflictError in every other case."""
    found = holder(host, node, mark)
    if found is None:
        return None
    handle, owner = found
    name = names.domain_name(node.name, mark)
    if owner is None or not owner.is_for(mark):
        held = f"belongs to {owner}" if owner else "carries no mark of pragmaspec"
        raise SiteConflictError(
            Problem(
                summary="Another machine has the node's name",
                detail=f"{name} exists at site {host.site.name} and {held}; it was not touched. Rename the cluster, or remove "
                "that machine if nobody needs it.",
            )
        )
    if owner.generation != mark.generation:
        raise SiteConflictError(
            Problem(
                summary="Another build of the node is at the site",
                detail=f"{name} at site {host.site.name} is build number {owner.generation}, the plan wants number "
                f"{mark.generation}; it was not touched, because its disk would be lost. Plan again to see what it will do.",
            )
        )
    return OurDomain(handle, owner)


def holder(host: Host, node: Node, mark: Mark) -> tuple[libvirt.virDomain, Owner | None] | None:
    """The domain that has the node's name, whoever owns it (None: it carries no mark); None when the name is free."""
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        domain = host.handle().lookupByName(names.domain_name(node.name, mark))
        return domain, domain_owner(parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    return None
