"""Further disks of nodes, and volumes: created, grown while machines run, and removed.

A disk is a qcow2 file in the pool. That of a node is named after the node and its generation, that of a volume after the volume
and its stack.
"""

from collections.abc import Iterable

import libvirt

from pragmaspec.errors import SiteConflictError, SiteError, SiteInUseError
from pragmaspec.failpoints import reach
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.disk_chain import all_files
from pragmaspec.providers.libvirt.domains.lookup import find_own
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Mark, Node, Outputs, Volume
from pragmaspec.text import joined


def create_extra_disks(host: Host, request: BootRequest) -> None:
    """Create the missing further disks of a node that is off, empty, and grow the others. A discarded one is created anew."""
    node, mark = request.node, request.mark
    for disk in node.own_disks:
        name = names.extra_disk_volume(node.name, disk.name, mark)
        if disk.name in request.discard_disks:
            volumes.remove(host, name)
            reach("libvirt.extra-disk.discarded")
        if volumes.create(host, volumes.empty_xml(name, disk.size_bytes)) is None:
            found = volumes.find(host, name)
            if found is not None:
                volumes.grow(host, found, disk.size_bytes)
        reach("libvirt.extra-disk.made")


def remove_discarded_disks(host: Host, request: BootRequest) -> None:
    """Remove the discarded disks that the node no longer has."""
    node = request.node
    for name in set(request.discard_disks) - {disk.name for disk in node.own_disks}:
        volumes.remove(host, names.extra_disk_volume(node.name, name, request.mark))
        reach("libvirt.extra-disk.removed")


def require_volumes(host: Host, request: BootRequest) -> None:
    """Raise SiteError when a volume of the node is missing, has snapshots, or is attached to another running machine."""
    marks = dict(request.volumes)
    if not request.node.volumes:
        return
    users = _active_users(host, request)
    listed = volumes.list_names(host)
    for name in request.node.volumes:
        mark = marks.get(name)
        file = names.kept_volume(mark) if mark is not None else ""
        if mark is None or file not in listed:
            raise SiteError(
                "A node's volume is missing",
                f"{request.node.name} needs volume {name}, and {file or 'its file'} is not in pool {host.site.pool} of site "
                f"{host.site.name}. Plan again.",
            )
        layers = names.kept_layers(listed, mark)
        path = host.path(file)
        if layers and path not in users.own:
            raise SiteConflictError(
                "A volume has snapshots",
                f"Volume {name} at site {host.site.name} lacks the data in {joined(layers)}, which would be lost; it was not "
                f"attached. To keep the data: qemu-img commit {host.path(layers[0])} && rm {host.path(layers[0])} (on the host).",
            )
        if path in users.others:
            raise SiteConflictError(
                "A volume is in use",
                f"{request.node.name} needs volume {name}, which machine {users.others[path]} at site {host.site.name} has "
                "attached. Shut that machine down, or detach the disk from it.",
            )


class _Users:
    """The running machines by the files of their disks: the node's own, and the names of others."""

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.others: dict[str, str] = {}


def _active_users(host: Host, request: BootRequest) -> _Users:
    """The users that run, without a machine that the new one replaces, which is gone before the boot."""
    found = _Users()
    replaced = {mark.uuid for mark in request.own_marks}
    for domain in host.handle().listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
            files = all_files(parse(domain.XMLDesc(0)), own=False)
            if domain.UUIDString() == request.mark.uuid:
                found.own |= files
            elif domain.UUIDString() not in replaced:
                found.others.update(dict.fromkeys(files, domain.name()))
    return found


def grow_disks(host: Host, node: Node, mark: Mark) -> None:
    """Grow the node's own further disks, also while its machine runs."""
    domain = find_own(host, node, mark)
    if domain is None:
        raise SiteError(
            "An object is missing at the site", f"{node.address} is not defined at site {host.site.name}. Plan again."
        )
    for disk in node.own_disks:
        name = names.extra_disk_volume(node.name, disk.name, mark)
        volume = volumes.find(host, name)
        if volume is None:
            raise SiteError(
                "A disk is missing at the site",
                f"{name} is not in pool {host.site.pool} of site {host.site.name}. Plan again.",
            )
        _grow(host, volume, disk.size_bytes, [domain.handle])


def allocate_volume(host: Host, volume: Volume, mark: Mark) -> Outputs:
    """Create the volume, or grow it. Raises SiteConflictError when another stack has one of its name."""
    file = names.kept_volume(mark)
    name = mark.name
    for listed in volumes.list_names(host):
        kept = names.parse_kept(listed)
        if kept is not None and kept[0] == name and kept[1] != mark.lineage:
            raise SiteConflictError(
                "Volume in use",
                f"Stack {kept[1][:8]} has a volume {name} at site {host.site.name}; it was not touched. Write another name after "
                "`keep:`.",
            )
    if volumes.create(host, volumes.empty_xml(file, volume.size_bytes)) is None:
        found = volumes.find(host, file)
        if found is not None:
            _grow(host, found, volume.size_bytes, host.handle().listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))
    reach("libvirt.volume.made")
    return (("volume", file),)


def remove_volume(host: Host, mark: Mark) -> None:
    """Remove the volume. Raises SiteInUseError when a machine has it attached, also one that is off, or a file is based on it."""
    file = names.kept_volume(mark)
    if volumes.find(host, file) is None:
        return
    path = host.path(file)
    users = [f"machine {domain.name()}" for domain in host.handle().listAllDomains(0) if path in _all_files(domain)]
    users += [f"file {name}" for name in names.kept_layers(volumes.list_names(host), mark)]
    if users:
        raise SiteInUseError(
            "A volume is in use",
            f"{joined(users)} at site {host.site.name} would lose the contents of {file}; it was not removed. Detach it from the "
            "machine (virsh detach-disk), or remove the file; then repeat the command.",
        )
    volumes.remove(host, file)


def _all_files(domain: libvirt.virDomain) -> set[str]:
    """The files of a domain, as defined and as running."""
    found: set[str] = set()
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        for flags in {0, libvirt.VIR_DOMAIN_XML_INACTIVE}:
            found |= all_files(parse(domain.XMLDesc(flags)), own=False)
    return found


def _grow(host: Host, volume: libvirt.virStorageVol, wanted_bytes: int, domains: Iterable[libvirt.virDomain]) -> None:
    """Grow ``volume``: through the running machine of ``domains`` that has it attached, if any."""
    if volumes.capacity_bytes(volume) >= wanted_bytes or host.connection.is_test_driver:
        return
    path = host.path(volume.name())
    for domain in domains:
        with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
            if domain.isActive() and path in all_files(parse(domain.XMLDesc(0)), own=False):
                domain.blockResize(path, wanted_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
                return
    volumes.grow(host, volume, wanted_bytes)
