"""Disk overlays with injected files, from which nodes of images without cloud-init boot.

They are created on this machine, backed by the image in the store, and uploaded to the site: they are small, and this works for
remote hypervisors too. ext2, ext3 and ext4, in a partition or on the whole disk, are written in place, in half a second;
libguestfs writes everything else, and whatever is unusual.
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


class BaseImage(NamedTuple):
    """The backing image of overlays: its file and format."""

    file: Path
    format: Literal["qcow2", "raw"]


class OverlayRequest(NamedTuple):
    """An overlay of ``size_bytes``, at least the size of its image, with the files that ``contents`` returns for its system."""

    size_bytes: int
    contents: Callable[[GuestSystem], OfflineFiles]


def quick_overlay(base: BaseImage, request: OverlayRequest, scratch: Path) -> Path | None:
    """Create the overlay in the private, empty folder ``scratch``, without libguestfs. Raises ImageError.

    Returns None if only libguestfs can write it.
    """
    if not can_export():
        return None
    overlay = scratch / "overlay.qcow2"
    qemu_img.create_overlay(overlay, base.file, base.format, request.size_bytes)
    try:
        with export_disk(overlay, base.file, base.format, scratch) as disk:
            found = _find_root(disk, request.size_bytes, scratch)
            if found is None:
                return None
            file_system, root = found
            file_system.write(request.contents(guest_system(root.found, root.contexts)))
    except NotWrittenError:
        return None
    finally:
        for folder in ("sources", "copies"):
            shutil.rmtree(scratch / folder, ignore_errors=True)
    reach("images.overlay.written")
    return overlay


def appliance_overlays(base: BaseImage, requests: Sequence[OverlayRequest], scratch: Path) -> tuple[Path, ...]:
    """Create the overlays with libguestfs, with as few starts of its appliance as the image allows. Raises ImageError."""
    overlays = [scratch / f"{number}.qcow2" for number in range(len(requests))]
    for overlay, request in zip(overlays, requests, strict=True):
        qemu_img.create_overlay(overlay, base.file, base.format, request.size_bytes)
    batch_size = MAX_DISKS if len(overlays) == 1 or _can_share_kernel(overlays[0], base, scratch) else 1
    for first in range(0, len(overlays), batch_size):
        batch = range(first, min(first + batch_size, len(overlays)))
        try:
            _write(overlays, requests, batch)
        except SingleDiskOnlyError:
            for number in batch:
                _write(overlays, requests, range(number, number + 1))
    reach("images.overlay.written")
    return tuple(overlays)


def _write(overlays: Sequence[Path], requests: Sequence[OverlayRequest], batch: range) -> None:
    write_with_appliance([overlays[number] for number in batch], lambda number, system: requests[batch[number]].contents(system))


def _find_root(disk: Path, size_bytes: int, scratch: Path) -> tuple[ExtFileSystem, RootFileSystem] | None:
    """Return the only root file system of a disk, if it is ext and contains every folder that is written."""
    partitions = probe_partitions(disk)
    if any(partition.content in {"shared", "unclean ext"} for partition in partitions):
        return None
    candidates = [
        ExtFileSystem(disk, partition.offset, size_bytes, scratch) for partition in partitions if partition.content == "ext"
    ]
    roots = [(candidate, root) for candidate in candidates if (root := candidate.inspect()) is not None]
    return roots[0] if len(roots) == 1 and not roots[0][1].has_separate_mounts else None


def _can_share_kernel(overlay: Path, base: BaseImage, scratch: Path) -> bool:
    """True if one kernel may see several disks of this image; False if the disk cannot be probed."""
    if not can_export():
        return False
    try:
        with export_disk(overlay, base.file, base.format, scratch) as disk:
            return all(partition.content != "shared" for partition in probe_partitions(disk))
    except ImageError:
        return False
