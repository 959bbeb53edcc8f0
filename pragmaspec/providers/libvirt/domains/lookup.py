"""Domains at the site: ours looked up with the check that they are ours, everybody's listed."""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import SiteConflictError
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.definition import KIB_PER_MIB, attribute, kib
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.metadata import Owner, domain_owner
from pragmaspec.providers.libvirt.xml import parsed
from pragmaspec.resources import Mark, Node


class ObservedDomain(NamedTuple):
    """A domain as a listing shows it. ``defined``: it outlives its run; False after it was undefined while running.

    ``cpus`` and ``memory_mib`` are those of the machine that runs, else of the definition. ``unusual``: it is neither running
    nor off, see :mod:`.power_states`. ``saved``: its memory is kept on disk. ``snapshots``: libvirt knows of some.
    """

    handle: libvirt.virDomain
    name: str
    uuid: str
    running: bool
    defined: bool
    unusual: bool
    saved: bool
    snapshots: bool
    cpus: int
    memory_mib: int
    owner: Owner | None
    definition: Element
    active: Element | None
    memory: Element | None
    """The machine that saved memory is of, as far as the driver tells."""
    autostart: bool = False


class OwnDomain(NamedTuple):
    """A domain that carries the wanted mark, whatever its generation."""

    handle: libvirt.virDomain
    owner: Owner

    @property
    def running(self) -> bool:
        """Whether it is active at this moment."""
        return bool(self.handle.isActive())


def listed(host: Host, wanted: Callable[[libvirt.virDomain], bool]) -> Iterator[ObservedDomain]:
    """Every domain that is ``wanted``. One that vanishes meanwhile is not there: that is what a later look would say."""
    handle = host.handle()
    every = handle.listAllDomains(0)
    facts = _Listings(handle)
    for domain in every:
        if wanted(domain):
            with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
                yield _seen(domain, facts.of(domain.UUIDString()))


def seen(domain: libvirt.virDomain) -> ObservedDomain:
    """One domain as a listing shows it."""
    saved, snapshots = bool(domain.hasManagedSaveImage(0)), bool(domain.snapshotNum(0))
    facts = _Facts(
        defined=bool(domain.isPersistent()), unusual=True, saved=saved, snapshots=snapshots, autostart=bool(domain.autostart())
    )
    return _seen(domain, facts)


class _Facts(NamedTuple):
    """Facts about a domain that its XML does not contain, see :class:`ObservedDomain`."""

    defined: bool
    unusual: bool
    saved: bool
    snapshots: bool
    autostart: bool


class _Listings:
    """The same of every domain, from one listing each: no call per domain."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        def those(flags: int) -> frozenset[str]:
            return frozenset(domain.UUIDString() for domain in handle.listAllDomains(flags))

        self._transient = those(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
        self._unusual = those(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED | libvirt.VIR_CONNECT_LIST_DOMAINS_OTHER)
        self._saved = those(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
        self._snapshots = those(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
        self._starting = those(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)

    def of(self, uuid: str) -> _Facts:
        """Facts about one domain, from the listings."""
        return _Facts(
            defined=uuid not in self._transient,
            unusual=uuid in self._unusual,
            saved=uuid in self._saved,
            snapshots=uuid in self._snapshots,
            autostart=uuid in self._starting,
        )


def _seen(domain: libvirt.virDomain, facts: _Facts) -> ObservedDomain:
    uuid, runs = domain.UUIDString(), domain.ID() != -1
    definition = parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    active = parsed(domain.XMLDesc(0)) if runs else None
    size = definition if active is None else active
    memory = _saved(domain) if facts.saved and not runs else None
    return ObservedDomain(
        handle=domain,
        name=domain.name(),
        uuid=uuid,
        running=runs,
        defined=facts.defined,
        unusual=facts.unusual,
        saved=facts.saved,
        snapshots=facts.snapshots,
        cpus=cpus(size),
        memory_mib=kib(size.find("memory")) // KIB_PER_MIB,
        owner=domain_owner(definition),
        definition=definition,
        active=active,
        memory=memory,
        autostart=facts.autostart,
    )


def _saved(domain: libvirt.virDomain) -> Element | None:
    """The machine that the saved memory is of."""
    with absent_is_fine(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_INVALID):
        return parsed(domain.managedSaveGetXMLDesc(0))
    return None


def cpus(domain: Element) -> int:
    """How many processors are plugged in, which may be fewer than there may be."""
    return int(attribute(domain, "vcpu", "current") or domain.findtext("vcpu", "0"))


def find_ours(host: Host, node: Node, mark: Mark) -> OwnDomain | None:
    """The node's domain, or None when there is none or it is somebody else's."""
    found = holder(host, node, mark)
    if found is None or found[1] is None or not found[1].is_for(mark):
        return None
    return OwnDomain(found[0], found[1])


def require_free_or_ours(host: Host, node: Node, mark: Mark) -> OwnDomain | None:
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
            "Another machine has the node's name",
            f"{name} exists at site {host.site.name} and {held}; it was not touched. Rename the cluster, or remove "
            "that machine if nobody needs it.",
        )
    if owner.generation != mark.generation:
        raise SiteConflictError(
            "Another build of the node is at the site",
            f"{name} at site {host.site.name} is build number {owner.generation}, the plan wants number "
            f"{mark.generation}; it was not touched, because its disk would be lost. Plan again to see what it will do.",
        )
    if handle.name() != name:
        _call_again(host, handle, name)
    return OwnDomain(handle, owner)


def holder(host: Host, node: Node, mark: Mark) -> tuple[libvirt.virDomain, Owner | None] | None:
    """The domain that has the node's name, whoever owns it (None: it carries no mark), else the one that has its UUID."""
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        return _owned(host.handle().lookupByName(names.domain_name(node.name, mark)), mark)
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        return _owned(host.handle().lookupByUUIDString(mark.uuid), mark)
    return None


def _owned(domain: libvirt.virDomain, mark: Mark) -> tuple[libvirt.virDomain, Owner | None]:
    """``domain`` and its owner: ours by its UUID, which no other program derives, even if its mark was altered."""
    owner = domain_owner(parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    return domain, owner_of(domain.UUIDString(), owner, mark)


def owner_of(uuid: str, owner: Owner | None, mark: Mark) -> Owner | None:
    """The owner of the domain ``uuid`` that carries ``owner``: the UUID of ``mark`` is better evidence than an editable mark."""
    if uuid != mark.uuid or (owner is not None and owner.is_for(mark) and owner.generation == mark.generation):
        return owner
    return Owner(lineage=mark.lineage, address=mark.address, generation=mark.generation, op=mark.op)


def _call_again(host: Host, domain: libvirt.virDomain, name: str) -> None:
    """Give a machine of ours that somebody has renamed its own name back, which libvirt does only while it is off."""
    if domain.isActive():
        raise SiteConflictError(
            "The node's machine was renamed",
            f"{name} is called {domain.name()} at site {host.site.name}, and runs, so that it cannot be named back; "
            f"it was not touched. Shut it down (virsh -c {host.site.uri} shutdown {domain.name()}), then apply again.",
        )
    domain.rename(name, 0)
