"""The files of a domain's disk, and the layers above the file that pragmaspec created. Pure."""

from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element

from pragmaspec.planning.observed import Layer
from pragmaspec.providers.libvirt.domains.definition import (
    OWN_DISK,
    disk_files,
    disk_target,
    is_extra_disk,
    is_own_target,
    own_disks,
    source_of,
)


def all_files(domain: Element, *, own: bool) -> set[str]:
    """All files of the domain's disks; with ``own``, of the disks of every node only."""
    return {file for disk in (own_disks(domain) if own else domain.findall("devices/disk")) for file in disk_files(disk)}


def own_chain(domain: Element) -> tuple[str, ...]:
    """The files of the node's own disk."""
    return next((disk_files(disk) for disk in own_disks(domain) if disk_target(disk) == OWN_DISK), ())


def extra_layers(domain: Element, snapshots: Mapping[str, str], pool: str) -> tuple[Layer, ...]:
    """The files above the further disks of the node, newest first."""
    files = [disk_files(disk)[:-1] for disk in own_disks(domain) if is_extra_disk(disk)]
    return tuple(
        Layer(file=file, snapshot=snapshots.get(file, ""), stays=file.rpartition("/")[0] != pool)
        for each in files
        for file in each
    )


def layers(chain_files: Iterable[str], disk: str, base: str, snapshots: Mapping[str, str], pool: str) -> tuple[Layer, ...]:
    """The files of a backing chain above the node's ``disk``, or else above its image ``base``, newest first.

    ``snapshots`` maps a file to the snapshot that created it; ``pool`` is the directory in which cleaning a node removes files.
    """
    files = tuple(chain_files)
    above = disk in files
    count = files.index(disk) if above else next((at for at, file in enumerate(files) if file == base), len(files))
    return tuple(
        Layer(file=file, snapshot=snapshots.get(file, ""), above=above, stays=file.rpartition("/")[0] != pool)
        for file in files[:count]
    )


def snapshot_files(snapshot: Element) -> dict[str, str]:
    """The files that a snapshot (``<domainsnapshot>``) created for the node's own disks and memory, with the snapshot's name.

    Files for a manually attached disk are not included.
    """
    name = snapshot.findtext("name", "")
    disks = [disk for disk in snapshot.findall("disks/disk") if is_own_target(disk.get("name", ""))]
    found = [source_of(disk) for disk in disks if disk.get("snapshot") == "external"]
    memory = snapshot.find("memory")
    found += [memory.get("file", "")] if memory is not None else []
    return {file: name for file in found if file}
