"""From any file that holds a disk to a disk in the store that a node can boot from.

Raw disks and qcow2 stay what they are, byte for byte. Whatever is around a disk (gzip, xz, zstd, bzip2, tar, zip, OVA) is taken
off while it is read. Raw disks that were packed, and disks of other formats (VMDK, VDI, VHD, VHDX), become qcow2 files that are
a function of the disk's content alone (see :mod:`pragmaspec.images.formats.qcow2_writer`), so that everybody gets the same
digest.

Nothing is looked at under a name that somebody else could change in between: the file is opened once, what comes out of it lies
in a private directory of the store, that is inspected, and that is published.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pragmaspec.failpoints import reach
from pragmaspec.images.archives.layers import limit_bytes, max_unpacked_bytes, unwrap
from pragmaspec.images.archives.members import OtherMemberError
from pragmaspec.images.archives.prefetch import prefetch
from pragmaspec.images.archives.stream import PeekableStream, file_chunks
from pragmaspec.images.context import ImageContext
from pragmaspec.images.formats import qemu_img
from pragmaspec.images.formats.detect import detect_formats
from pragmaspec.images.formats.inspect import DISK_FORMATS, MAX_VIRTUAL_BYTES, BootFormat, DiskInfo, image_refused, inspect_any
from pragmaspec.images.formats.qcow2_writer import write_qcow2
from pragmaspec.images.formats.random_access import HEAD_BYTES, TAIL_BYTES, RandomAccessFile, open_regular
from pragmaspec.images.formats.sparse import read_blocks, write_sparse
from pragmaspec.images.store.blobs import disk_full_as_error, file_sha256, fsync_path
from pragmaspec.images.store.conversion_cache import BootableDisk, cache_disk, cached_disk
from pragmaspec.images.store.digest_cache import changed_while_reading

_LOOK_AFTER_BYTES = 64 * 2**20
"""How often the free space is looked at while something is written."""
_SPARE_BYTES = 256 * 2**20
"""What has to stay free: a full file system harms everybody."""
_WRITE_BYTES = 2**20
"""Written at once: fewer turns between the threads."""
_NATIVE = {"raw", "qcow2"}


def make_disk(
    file: Path,
    workshop: ImageContext,
    *,
    declared: str | None,
    name: str,
    partitionless: bool,
    digest: str | None = None,
    member: str = "",
) -> BootableDisk:
    """Put the disk in ``file`` into the store: ``(blob, format, virtual size in bytes)``.

    A file in the store's own ``incoming`` directory is used up; any other is copied and stays. ``declared``: the format of the
    disk itself, whatever is around it (one of ``DISK_FORMATS``), None when its bytes decide. ``partitionless``: it need not be
    able to start alone. ``digest``: the file's SHA-256 when the caller knows it; then nothing is made twice. ``member``: the
    disk's path in the archive that the file is; empty where that is found. Raises ImageError.
    """
    if declared is not None and declared not in DISK_FORMATS:
        raise image_refused([f"the format {declared!r} is not known; a disk is one of {', '.join(DISK_FORMATS)}"])
    store = workshop.store
    work = work_name(file)
    ours = file.absolute().parent == store.incoming.absolute()
    with store.locked(work), disk_full_as_error(store, name):
        made = cached_disk(store, digest, declared=declared, partitionless=partitionless, member=member) if digest else None
        if made is None:
            with open_regular(file) as window, store.scratch(work) as scratch:
                maker = DiskMaker(workshop, name, declared, scratch, partitionless=partitionless, member=member)
                made = maker.make(file, window, ours=ours, digest=digest)
            if digest:
                cache_disk(store, digest, made, declared=declared, partitionless=partitionless, member=member)
        if ours:
            file.unlink(missing_ok=True)
        return made


def work_name(file: Path) -> str:
    """The name of the lock, and of the scratch directory, of whoever makes a disk of ``file``."""
    return f"disk-{sha256(os.fsencode(file.absolute())).hexdigest()[:32]}"


class UnpublishedDisk(NamedTuple):
    """A disk that lacks only a last look and its final name. ``digest``: its SHA-256; ``looked``: qemu-img has seen it."""

    file: Path
    digest: str
    declared: str | None
    looked: bool = False


class DiskMaker:
    """Makes one disk in the private directory ``scratch``. All methods raise ImageError."""

    def __init__(
        self, workshop: ImageContext, name: str, declared: str | None, scratch: Path, *, partitionless: bool, member: str = ""
    ) -> None:
        self._workshop = workshop
        self._store = workshop.store
        self._name = name
        self._declared = declared
        self._scratch = scratch
        self._partitionless = partitionless
        self._member = member
        self._packing = ""

    def make(self, file: Path, window: RandomAccessFile, *, ours: bool, digest: str | None) -> BootableDisk:
        """The disk in ``file``, which is open as ``window``."""
        self._store.check_space(window.size + _SPARE_BYTES, self._name)
        stream, layers = unwrap(window, self._unpacked, self._member)
        if layers:
            self._packing = layers[0]
            ready = self._unwrapped(window, stream)
            if not window.unchanged():
                raise changed_while_reading(file)
            return self.publish(ready)
        examined = self._examine(window)  # before gigabytes are copied
        if ours:
            copy, found = file, digest or file_sha256(file, lambda done, total: self._workshop.step("hashing", done, total))
        else:
            copy = self._scratch / "disk"
            found = self._copy(copy, file_chunks(window, lambda done, total: self._workshop.step("copying", done, total)))
            if not window.unchanged() or (digest is not None and digest != found):
                raise changed_while_reading(file)
        return self.publish(UnpublishedDisk(copy, found, self._declared) if examined.format in _NATIVE else self._convert(copy))

    def _unwrapped(self, window: RandomAccessFile, stream: PeekableStream) -> UnpublishedDisk:
        """The disk in the packed file ``window``, which is read once more when its end says that another member is meant."""
        most_bytes = max_unpacked_bytes(window.size, MAX_VIRTUAL_BYTES)
        try:
            return self.unpack(stream, most_bytes)
        except OtherMemberError as other:
            for left in self._scratch.iterdir():
                left.unlink()
            return self.unpack(unwrap(window, self._unpacked, other.member)[0], most_bytes)

    def unpack(self, stream: PeekableStream, most_bytes: int) -> UnpublishedDisk:
        """The disk that comes out of a packed file, of at most ``most_bytes``."""
        kinds = detect_formats(stream.peek(HEAD_BYTES), b"")
        if kinds and all(kind.family == "other" for kind in kinds):
            raise image_refused([f"what is packed in it is {kinds[0].words}, not a disk image"])
        foreign = self._declared not in {None, *_NATIVE} or any(kind.name != "raw" for kind in kinds)
        copy = self._scratch / "disk"
        with prefetch(limit_bytes(stream.rest(), most_bytes)) as pieces:
            if not foreign:
                return self._from_raw(pieces)
            digest = self._copy(copy, pieces)
        with open_regular(copy) as window:
            examined = self._examine(window)
        return UnpublishedDisk(copy, digest, self._declared) if examined.format in _NATIVE else self._convert(copy)

    def publish(self, ready: UnpublishedDisk) -> BootableDisk:
        """Inspect what there is now, let qemu-img do the same, and give it its final name."""
        self._workshop.step("checking")
        reach("images.check")
        with open_regular(ready.file) as window:
            examined = inspect_any(window, ready.declared, partitionless=self._partitionless)
        format_: BootFormat = "qcow2" if examined.format == "qcow2" else "raw"
        if format_ == "qcow2" and not ready.looked:
            qemu_img.verify_qcow2(ready.file, examined.virtual_size_bytes)
        return BootableDisk(self._store.publish(ready.file, ready.digest), format_, examined.virtual_size_bytes)

    def _ours(self, file: Path, size_bytes: int) -> UnpublishedDisk:
        """The qcow2 that was written here, of a disk of ``size_bytes``. Whatever takes time is done at once."""
        reach("images.ours")
        with ThreadPoolExecutor(2) as beside:
            waited = beside.submit(fsync_path, file), beside.submit(qemu_img.verify_qcow2, file, size_bytes)
            digest = file_sha256(file, lambda done, total: self._workshop.step("hashing", done, total))
            for each in waited:
                each.result()
        return UnpublishedDisk(file, digest, "qcow2", looked=True)

    def _unpacked(self, done: int, total: int) -> None:
        if self._packing:  # else it was only looked at
            self._workshop.step("unpacking", done, total)

    def _from_raw(self, pieces: Iterator[bytes]) -> UnpublishedDisk:
        """A raw disk as it comes, made into qcow2 in passing. Its ends are kept, since that is what a raw disk is judged by."""
        made, ends = self._scratch / "disk.qcow2", _Ends()
        with made.open("xb", buffering=_WRITE_BYTES) as target:
            size = write_qcow2(target, ends.noted(self._watched(pieces)))
        inspect_any(ends, self._declared, partitionless=self._partitionless)
        return self._ours(made, size)

    def _convert(self, copy: Path) -> UnpublishedDisk:
        """A disk of another format, through a raw disk with holes."""
        with open_regular(copy) as window:
            examined = self._examine(window)
        qemu_img.verify_format(copy, examined.format, examined.virtual_size_bytes)
        reach("images.convert")
        raw, made = self._scratch / "disk.raw", self._scratch / "disk.qcow2"
        size = examined.virtual_size_bytes

        def converted(percent: int) -> None:
            self._workshop.step("converting", size * percent // 100, size)
            self._store.check_space(_SPARE_BYTES, self._name)

        qemu_img.convert(copy, examined.format, raw, "raw", most_bytes=size, counted=converted)
        reach("images.converted")
        copy.unlink()
        with open_regular(raw) as window, made.open("xb", buffering=_WRITE_BYTES) as target:
            write_qcow2(target, self._watched(read_blocks(window.handle)))
            inspect_any(window, "raw", partitionless=self._partitionless)
        raw.unlink()
        return self._ours(made, size)

    def _examine(self, window: RandomAccessFile) -> DiskInfo:
        return inspect_any(window, self._declared, partitionless=self._partitionless)

    def _copy(self, target: Path, pieces: Iterable[bytes]) -> str:
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            return write_sparse(handle, self._watched(pieces))[0]
        finally:
            os.close(handle)

    def _watched(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces; every now and then the free space is looked at."""
        since = 0
        for piece in pieces:
            since += len(piece)
            if since >= _LOOK_AFTER_BYTES:
                self._store.check_space(_SPARE_BYTES, self._name)
                since = 0
            reach("images.piece")
            yield piece


class _Ends:
    """The window on a stream that has gone by: its first MiB, its last 4 KiB, its length."""

    def __init__(self) -> None:
        self._head = self._tail = b""
        self.size = 0

    def noted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces."""
        for piece in pieces:
            if len(self._head) < HEAD_BYTES:
                self._head = (self._head + piece)[:HEAD_BYTES]
            self._tail = (self._tail + piece)[-TAIL_BYTES:] if len(piece) < TAIL_BYTES else piece[-TAIL_BYTES:]
            self.size += len(piece)
            yield piece

    def at(self, offset: int, length: int) -> bytes:
        """See :class:`pragmaspec.images.formats.random_access.RandomAccess`; only the ends are there."""
        begin = self.size - len(self._tail)
        return self._tail[offset - begin :][:length] if offset >= begin else self._head[offset : offset + length]
