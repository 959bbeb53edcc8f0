"""Domains at the site: the stack's own, looked up with a check of their owner, and listings of all."""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

import libvirt

from pragmaspec.errors import SiteConflictError
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.definition import KIB_PER_MIB, attribute, memory_kib
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.metadata import domain_owner
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Mark, Node


class ObservedDomain(NamedTuple):
    """A domain and its state. ``defined``: it is persistent; False after it was undefined while running.

    ``cpus`` and ``memory_mib`` are those of the running machine, else of the definition. ``unusual``: it is neither running
    nor off, see :mod:`.power_states`. ``saved``: its memory is saved on disk. ``snapshots``: it has snapshots.
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
    owner: Mark | None
    definition: Element
    active: Element | None
    memory: Element | None
    """The definition of the machine whose memory is saved, if the driver provides it."""
    autostart: bool = False


class OwnDomain(NamedTuple):
    """A domain that carries the wanted mark, of any generation."""

    handle: libvirt.virDomain
    owner: Mark

    @property
    def running(self) -> bool:
        """True if the domain is active now."""
        return bool(self.handle.isActive())


def list_domains(host: Host, wanted: Callable[[libvirt.virDomain], bool] = lambda _domain: True) -> Iterator[ObservedDomain]:
    """Every domain for which ``wanted`` is true. One that disappears meanwhile is omitted, as from a later listing."""
    handle = host.handle()
    every = handle.listAllDomains(0)
    listings = _Listings(handle)
    for domain in every:
        if wanted(domain):
            with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
                yield _seen(domain, listings.facts_of(domain.UUIDString()))


def observe_domain(domain: libvirt.virDomain) -> ObservedDomain:
    """Observe one domain."""
    saved, snapshots = bool(domain.hasManagedSaveImage(0)), bool(domain.snapshotNum(0))
    facts = _Facts(
        defined=bool(domain.isPersistent()), unusual=True, saved=saved, snapshots=snapshots, autostart=bool(domain.autostart())
    )
    return _seen(domain, facts)


class _Facts(NamedTuple):
    """Facts about a domain that its XML does not contain; the fields of :class:`ObservedDomain`."""

    defined: bool
    unusual: bool
    saved: bool
    snapshots: bool
    autostart: bool


class _Listings:
    """The facts about all domains, from one listing per fact rather than one call per domain."""

    def __init__(self, handle: libvirt.virConnect) -> None:
        def uuids(flags: int) -> frozenset[str]:
            return frozenset(domain.UUIDString() for domain in handle.listAllDomains(flags))

        self._transient = uuids(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
        self._unusual = uuids(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED | libvirt.VIR_CONNECT_LIST_DOMAINS_OTHER)
        self._saved = uuids(libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
        self._snapshots = uuids(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
        self._autostart = uuids(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)

    def facts_of(self, uuid: str) -> _Facts:
        """The facts about one domain."""
        return _Facts(
            defined=uuid not in self._transient,
            unusual=uuid in self._unusual,
            saved=uuid in self._saved,
            snapshots=uuid in self._snapshots,
            autostart=uuid in self._autostart,
        )


def _seen(domain: libvirt.virDomain, facts: _Facts) -> ObservedDomain:
    running = domain.ID() != -1
    definition = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    active = parse(domain.XMLDesc(0)) if running else None
    size = definition if active is None else active
    memory = _saved_definition(domain) if facts.saved and not running else None
    return ObservedDomain(
        handle=domain,
        name=domain.name(),
        uuid=domain.UUIDString(),
        running=running,
        cpus=cpus(size),
        memory_mib=memory_kib(size.find("memory")) // KIB_PER_MIB,
        owner=domain_owner(definition),
        definition=definition,
        active=active,
        memory=memory,
        **facts._asdict(),
    )


def _saved_definition(domain: libvirt.virDomain) -> Element | None:
    """The definition of the machine whose memory is saved."""
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_INVALID):
        return parse(domain.managedSaveGetXMLDesc(0))
    return None


def cpus(domain: Element) -> int:
    """The number of online processors, which may be less than the maximum."""
    return int(attribute(domain, "vcpu", "current") or domain.findtext("vcpu", "0"))


def find_own(host: Host, node: Node, mark: Mark) -> OwnDomain | None:
    """The node's domain; None when it is absent or foreign."""
    found = find_holder(host, node, mark)
    if found is None or found[1] is None or not found[1].is_for(mark):
        return None
    return OwnDomain(found[0], found[1])


def require_own_or_free(host: Host, node: Node, mark: Mark) -> OwnDomain | None:
    """The node's domain of this generation, under its own name; None when it is absent and the name is free.

    Raises SiteConflictError otherwise.
    """
    found = find_holder(host, node, mark)
    if found is None:
        return None
    handle, owner = found
    name = names.domain_name(node.name, mark)
    if owner is None or not owner.is_for(mark):
        owned = f"belongs to {owner.owner}" if owner else "carries no mark of pragmaspec"
        raise SiteConflictError(
            "Another machine has the node's name",
            f"{name} exists at site {host.site.name} and {owned}; it was not touched. Rename the cluster, or remove "
            "that machine if it is no longer needed.",
        )
    if owner.generation != mark.generation:
        raise SiteConflictError(
            "Another generation of the node is at the site",
            f"{name} at site {host.site.name} is generation {owner.generation}, the plan wants generation "
            f"{mark.generation}; it was not touched, because its disk would be lost. Plan again to see the resulting actions.",
        )
    if handle.name() != name:
        _restore_name(host, handle, name)
    return OwnDomain(handle, owner)


def find_holder(host: Host, node: Node, mark: Mark) -> tuple[libvirt.virDomain, Mark | None] | None:
    """The domain with the node's name and its owner (None: no mark), else the domain with its UUID."""
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        return _owned(host.handle().lookupByName(names.domain_name(node.name, mark)), mark)
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        return _owned(host.handle().lookupByUUIDString(mark.uuid), mark)
    return None


def _owned(domain: libvirt.virDomain, mark: Mark) -> tuple[libvirt.virDomain, Mark | None]:
    """``domain`` and its owner: the UUID proves this stack's ownership even if the mark was altered."""
    owner = domain_owner(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    return domain, owner_of(domain.UUIDString(), owner, mark)


def owner_of(uuid: str, owner: Mark | None, mark: Mark) -> Mark | None:
    """The owner of the domain ``uuid`` marked as ``owner``'s: the UUID of ``mark`` is better evidence than an editable mark."""
    if uuid != mark.uuid or (owner is not None and owner.is_for(mark) and owner.generation == mark.generation):
        return owner
    return mark


def _restore_name(host: Host, domain: libvirt.virDomain, name: str) -> None:
    """Rename the stack's own domain back to ``name``, which libvirt does only while it is off."""
    if domain.isActive():
        raise SiteConflictError(
            "The node's machine was renamed",
            f"{name} is named {domain.name()} at site {host.site.name}, and cannot be renamed back while it runs; "
            f"it was not touched. Shut it down (virsh -c {host.site.uri} shutdown {domain.name()}), then apply again.",
        )
    domain.rename(name, 0)
