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
    uuid: str
    running: bool
    defined: bool
    cpus: int
    memory_mib: int
    owner: Owner | None
    autostart: bool = False


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
    starting = {domain.UUIDString() for domain in handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)}
    transient = {domain.UUIDString() for domain in handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)}
    for domain in every:
        if wanted(domain.name()):
            with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
                uuid = domain.UUIDString()
                yield _seen(domain, defined=uuid not in transient, autostart=uuid in starting)


def _seen(domain: libvirt.virDomain, *, defined: bool, autostart: bool) -> SeenDomain:
    root = parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    return SeenDomain(
        name=domain.name(),
        uuid=domain.UUIDString(),
        running=domain.ID() != -1,
        defined=defined,
        cpus=int(root.findtext("vcpu", "0")),
        memory_mib=int(root.findtext("memory", "0")) // KIB_PER_MIB,
        owner=domain_owner(root),
        autostart=autostart,
    )


def find_ours(host: Host, node: Node, mark: Mark) -> OurDomain | None:
    """The node's domain, or None when there is none or it is somebody else's."""
    found = holder(host, node, mark)
    if found is None or found[1] is None or not found[1].is_for(mark):
        return None
    return OurDomain(found[0], found[1])


def require_free_or_ours(host: Host, node: Node, mark: Mark) -> OurDomain | None:
    """The node's domain of this generation, under its own name; None when there is none and the name is free.

    Raises SiteConflictError in every other case.
    """
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
    if handle.name() != name:
        _call_again(host, handle, name)
    return OurDomain(handle, owner)


def holder(host: Host, node: Node, mark: Mark) -> tuple[libvirt.virDomain, Owner | None] | None:
    """The domain that has the node's name, whoever owns it (None: it carries no mark), else the one that has its UUID."""
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        return _owned(host.handle().lookupByName(names.domain_name(node.name, mark)), mark)
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        return _owned(host.handle().lookupByUUIDString(mark.uuid), mark)
    return None


def _owned(domain: libvirt.virDomain, mark: Mark) -> tuple[libvirt.virDomain, Owner | None]:
    """``domain`` and whose it is: ours by its UUID, to which nobody else comes, also when somebody has removed its mark."""
    owner = domain_owner(parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    if owner is None and domain.UUIDString() == mark.uuid:
        owner = Owner(lineage=mark.lineage, address=mark.address, generation=mark.generation, op=mark.op)
    return domain, owner


def _call_again(host: Host, domain: libvirt.virDomain, name: str) -> None:
    """Give a machine of ours that somebody has renamed its own name back, which libvirt does only while it is off."""
    if domain.isActive():
        raise SiteConflictError(
            Problem(
                summary="The node's machine was renamed",
                detail=f"{name} is called {domain.name()} at site {host.site.name}, and runs, so that it cannot be named back; "
                f"it was not touched. Shut it down (virsh -c {host.site.uri} shutdown {domain.name()}), then apply again.",
            )
        )
    domain.rename(name, 0)
