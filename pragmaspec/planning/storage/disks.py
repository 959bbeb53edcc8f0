"""Further disks of nodes: those that the spec wants, and the effect of changing them. Pure."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from pragmaspec.planning.plan import Impact
from pragmaspec.planning.wanted import WantedDisk
from pragmaspec.resources import Disk, Node


def node_disks(wanted: Sequence[WantedDisk], node: str, index: int | None) -> tuple[Disk, ...]:
    """Return the disks of ``node`` by name; ``index`` None: of a frontend, whose volumes have no index in their names."""
    return tuple(
        Disk(
            name=disk.name,
            size_bytes=disk.size_bytes,
            format=disk.format,
            mount=disk.mount,
            volume=_volume_name(disk, node, index) if disk.keep else "",
        )
        for disk in sorted(wanted, key=lambda disk: disk.name)
    )


def _volume_name(disk: WantedDisk, node: str, index: int | None) -> str:
    if not disk.volume:
        return f"{node}-{disk.name}"
    return disk.volume if index is None else f"{disk.volume}-{index}"


def with_kept_formats(disks: tuple[Disk, ...], recorded: Node | None) -> tuple[Disk, ...]:
    """Return ``disks`` of a node with the file systems that stay although the spec no longer asks for them.

    ``recorded``: the node with the present disks. Those of volumes are recorded with the volumes.
    """
    before = {disk.name: disk for disk in recorded.own_disks} if recorded is not None else {}
    return tuple(
        replace(disk, kept_format=before[disk.name].made_format)
        if disk.format == "none" and not disk.volume and disk.name in before and not _is_replaced(before[disk.name], disk)
        else disk
        for disk in disks
    )


def with_new_disks(node: Node) -> Node:
    """Return ``node`` with disks that are made anew, empty."""
    if all(disk.kept_format == "none" for disk in node.disks):
        return node
    return replace(node, disks=tuple(replace(disk, kept_format="none") for disk in node.disks))


def disks_impact(before: Node, after: Node) -> Impact:
    """Return the impact of changing the disks of a node: attaching and detaching need a restart."""
    old = {disk.name: disk for disk in before.disks}
    new = {disk.name: disk for disk in after.disks}
    if old.keys() != new.keys() or any(old[name].volume != disk.volume for name, disk in new.items()):
        return "reboot"
    return "reboot" if any(_is_replaced(old[name], disk) for name, disk in new.items()) else "live"


def discarded_disks(before: Node, after: Node) -> tuple[Disk, ...]:
    """Return the disks of ``before`` whose data ``after`` does not keep. Volumes are kept always."""
    new = {disk.name: disk for disk in after.own_disks}
    return tuple(disk for disk in before.own_disks if disk.name not in new or _is_replaced(disk, new[disk.name]))


def _is_replaced(before: Disk, after: Disk) -> bool:
    """True if an empty disk takes the place of ``before``: a smaller one, or one with another file system."""
    return not after.volume and (after.size_bytes < before.size_bytes or _has_other_format(before, after))


def _has_other_format(before: Disk, after: Disk) -> bool:
    """True if the file system changes. ``none`` keeps the present one; unknown contents are kept, too."""
    return "none" not in (before.made_format, after.format) and before.made_format != after.format


def needs_more_disks(wanted: Sequence[WantedDisk], node: Node) -> bool:
    """True if ``node`` lacks a wanted disk, or has a smaller one."""
    recorded = {disk.name: disk for disk in node.disks}
    return any(_is_missing(disk, recorded.get(disk.name)) for disk in wanted)


def _is_missing(wanted: WantedDisk, recorded: Disk | None) -> bool:
    return recorded is None or bool(recorded.volume) != wanted.keep or recorded.size_bytes < wanted.size_bytes


def disk_differences(before: Node, after: Node) -> Iterator[tuple[Disk | None, Disk | None]]:
    """Yield the disks that differ, before and after, in the order of ``after``, followed by removed ones."""
    old = {disk.name: disk for disk in before.disks}
    new = {disk.name: disk for disk in after.disks}
    for name, disk in new.items():
        before_disk = old.get(name)
        if before_disk is None or before_disk != replace(disk, kept_format=before_disk.kept_format):
            yield before_disk, disk
    for name, disk in old.items():
        if name not in new:
            yield disk, None
