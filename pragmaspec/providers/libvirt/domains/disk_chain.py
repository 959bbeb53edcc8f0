"""The files that a domain's disk consists of, and which of them stand above the one that we made. Pure."""

from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element

from pragmaspec.planning.observed import Layer
from pragmaspec.providers.libvirt.domains.definition import OWN_DISK, OWN_DISKS, disk_target, own_disks, source_of


def chain(disk: Element) -> tuple[str, ...]:
    """The files of a disk as its definition has them, from the one that is written to down to the last that is spelled out."""
    found = [source_of(disk)]
    below = disk.find("backingStore")
    while below is not None:
        found.append(source_of(below))
        below = below.find("backingStore")
    return tuple(filter(None, found))


def all_files(domain: Element, *, own: bool) -> set[str]:
    """Everything that the disks of a domain consist of; ``own``: only those that every node has."""
    return {file for disk in (own_disks(domain) if own else domain.findall("devices/disk")) for file in chain(disk)}


def own_chain(domain: Element) -> tuple[str, ...]:
    """The files of the node's own disk."""
    return next((chain(disk) for disk in own_disks(domain) if disk_target(disk) == OWN_DISK), ())


def layers(found: Iterable[str], disk: str, base: str, snapshots: Mapping[str, str], pool: str) -> tuple[Layer, ...]:
    """The files of the chain ``found`` above the node's ``disk``, or else above its image ``base``, the newest first.

    ``snapshots`` names the snapshot that made a file; ``pool`` is the directory in which cleaning a node removes files.
    """
    files = tuple(found)
    above = disk in files
    count = files.index(disk) if above else next((at for at, file in enumerate(files) if file == base), len(files))
    return tuple(
        Layer(file=file, snapshot=snapshots.get(file, ""), above=above, stays=file.rpartition("/")[0] != pool)
        for file in files[:count]
    )


def snapshot_files(snapshot: Element) -> dict[str, str]:
    """Each file that a snapshot (``<domainsnapshot>``) has made of the node's own disks and memory, with the snapshot's name.

    Snapshots of a disk that was attached by hand are not ours.
    """
    name = snapshot.findtext("name", "")
    disks = [disk for disk in snapshot.findall("disks/disk") if disk.get("name") in OWN_DISKS]
    found = [source_of(disk) for disk in disks if disk.get("snapshot") == "external"]
    memory = snapshot.find("memory")
    found += [memory.get("file", "")] if memory is not None else []
    return {file: name for file in found if file}
