"""Drift of further disks and of volumes. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.planning.observed import ObservedNode, ObservedVolume
from pragmaspec.planning.plan import INFORMATIONAL_KINDS, Drift
from pragmaspec.resources import Disk, Node, Volume
from pragmaspec.state_model import Record
from pragmaspec.text import joined, size


class ComparedDisks(NamedTuple):
    """The node with the disks that exist, and a human-readable difference; empty: none."""

    node: Node
    detail: str = ""


def compare_disks(node: Node, seen: ObservedNode) -> ComparedDisks:
    """Compare the disks that are removed with a node with those of its machine. Volumes are compared on their own."""
    if not seen.disks and not node.disks:
        return ComparedDisks(node)
    found = {disk.name: disk.size_bytes for disk in seen.disks}
    own = {disk.name: disk for disk in node.own_disks}
    details: list[str] = []
    disks: list[Disk] = []
    for disk in node.disks:
        if disk.volume:
            disks.append(disk)
        elif disk.name not in found:
            details.append(f"has lost its disk {disk.name}")
        else:
            if found[disk.name] != disk.size_bytes:
                details.append(f"has a disk {disk.name} of {size(found[disk.name])}, recorded {size(disk.size_bytes)}")
            disks.append(replace(disk, size_bytes=found[disk.name]))
    for name, size_bytes in found.items():
        if name not in own:
            details.append(f"has a disk {name} of {size(size_bytes)}, which is not recorded")
            disks = [*(disk for disk in disks if disk.name != name), Disk(name=name, size_bytes=size_bytes, format="none")]
    return ComparedDisks(replace(node, disks=tuple(disks)), "; ".join(details))


def compare_volume(record: Record, volume: Volume, seen: ObservedVolume | None) -> tuple[Drift | None, Record]:
    """Return the drift of a volume, and its refreshed record."""
    if seen is None:
        return Drift(address=record.address, kind="gone", detail="is gone from the site, with its data"), record
    if seen.size_bytes == volume.size_bytes:
        return None, record
    detail = f"has {size(seen.size_bytes)}, recorded {size(volume.size_bytes)}"
    refreshed = replace(record, resource=replace(volume, size_bytes=seen.size_bytes))
    return Drift(address=record.address, kind="changed", detail=detail), refreshed


def detached_volumes(node: Node, seen: ObservedNode | None, names: Mapping[str, str]) -> frozenset[str]:
    """Return the volumes of a running node that its machine does not have. ``names``: at the site, by recorded name."""
    if seen is None or seen.volumes is None or not node.running:
        return frozenset()
    return frozenset(name for name in node.volumes if names.get(name, name) not in seen.volumes)


def without_volumes(drift: Drift | None, record: Record, node: Node, lost: AbstractSet[str]) -> tuple[Drift | None, Record]:
    """Return ``drift`` and ``record`` of a node that uses ``lost`` volumes, as if they were detached."""
    if record.status == "pending":
        return drift, record
    names = [name for name in node.volumes if name in lost]
    detail = f"has lost its volume {joined(names)}"
    found = Drift(address=record.address, kind="changed", detail=detail)
    if drift is not None:
        kind = "changed" if drift.kind in INFORMATIONAL_KINDS else drift.kind
        found = replace(drift, kind=kind, detail=f"{drift.detail}; {detail}")
    disks = tuple(disk for disk in node.disks if disk.volume not in lost or not disk.volume)
    return found, replace(record, resource=replace(node, disks=disks))
