"""Overlays with a node's files in them: what a node of an image without cloud-init boots from.

They are made here, over the image in the user's store, and then sent to the site as they are: small, and equally good for a
hypervisor far away. ext2, ext3 and ext4, on a partition or on the whole disk, are written in place (half a second); everything
else, and whatever is not as expected, by libguestfs.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pragmaspec.errors import ImageError
from pragmaspec.failpoints import reach
from pragmaspec.guest.offline.detect import GuestSystem, guest_system
from pragmaspec.guest.offline.files import OfflineFiles
from pragmaspec.images.formats import qemu_img
from pragmaspec.images.offline.debugfs import ExtFileSystem, NotWrittenError, RootFileSystem
from pragmaspec.images.offline.guestfs import MAX_DISKS, SingleDiskOnlyError, write_with_appliance
from pragmaspec.images.offline.overlay_export import can_export, export_disk
from pragmaspec.images.offline.partitions import probe_partitions

Contents = Callable[[GuestSystem], OfflineFiles]
"""What to write into a disk that holds such a system."""


class BaseImage(NamedTuple):
    """The image that overlays stand on: its file and format."""

    file: Path
    format: Literal["qcow2", "raw"]


class OverlayRequest(NamedTuple):
    """An overlay of ``size_bytes``, not smaller than its base, with ``contents`` in it."""

    size_bytes: int
    contents: Contents


def quick_overlay(base: BaseImage, wish: OverlayRequest, scratch: Path) -> Path | None:
    """The overlay, in ``scratch`` (private, empty); None when only libguestfs can write it. Raises ImageError."""
    if not can_export():
        return None
    overlay = scratch / "overlay.qcow2"
    qemu_img.create_overlay(overlay, base.file, base.format, wish.size_bytes)
    try:
        with export_disk(overlay, base.file, base.format, scratch) as disk:
            found = _root(disk, wish.size_bytes, scratch)
            if found is None:
                return None
            system, seen = found
            system.write(wish.contents(guest_system(seen.found, seen.contexts)))
    except NotWrittenError:
        return None
    finally:
        for left in ("sources", "copies"):
            shutil.rmtree(scratch / left, ignore_errors=True)
    reach("images.overlay.written")
    return overlay


def appliance_overlays(base: BaseImage, wishes: Sequence[OverlayRequest], scratch: Path) -> tuple[Path, ...]:
    """The overlays, written by as few starts of the appliance as the image allows. Raises ImageError."""
    made = [scratch / f"{number}.qcow2" for number in range(len(wishes))]
    for overlay, wish in zip(made, wishes, strict=True):
        qemu_img.create_overlay(overlay, base.file, base.format, wish.size_bytes)
    step = MAX_DISKS if len(made) == 1 or _may_stand_together(made[0], base, scratch) else 1
    for first in range(0, len(made), step):
        batch = range(first, min(first + step, len(made)))
        try:
            _write(made, wishes, batch)
        except SingleDiskOnlyError:
            for number in batch:
                _write(made, wishes, range(number, number + 1))
    reach("images.overlay.written")
    return tuple(made)


def _write(overlays: Sequence[Path], wishes: Sequence[OverlayRequest], batch: range) -> None:
    write_with_appliance([overlays[number] for number in batch], lambda number, system: wishes[batch[number]].contents(system))


def name_base(overlay: Path, path: str, format_: Literal["qcow2", "raw"]) -> None:
    """Let the overlay's header say that it stands on ``path``, the same image by another name. Raises ImageError."""
    qemu_img.set_backing_path(overlay, path, format_)


def _root(disk: Path, size_bytes: int, scratch: Path) -> tuple[ExtFileSystem, RootFileSystem] | None:
    """The one root file system of a disk, when it is ext and holds every folder that is written to."""
    parts = probe_partitions(disk)
    if any(part.content in {"shared", "unclean ext"} for part in parts):
        return None
    systems = [ExtFileSystem(disk, part.offset, size_bytes, scratch) for part in parts if part.content == "ext"]
    found = [(system, seen) for system, seen in ((system, system.look()) for system in systems) if seen is not None]
    return found[0] if len(found) == 1 and not found[0][1].apart else None


def _may_stand_together(overlay: Path, base: BaseImage, scratch: Path) -> bool:
    """Whether several disks of this image may be seen by one kernel. What cannot be looked at may not."""
    if not can_export():
        return False
    try:
        with export_disk(overlay, base.file, base.format, scratch) as disk:
            return all(part.content != "shared" for part in probe_partitions(disk))
    except ImageError:
        return False
