"""Make a disk in the store that a node can boot from, from any file with a disk in it.

Raw disks and qcow2 are kept byte for byte. Compression and archives around a disk (gzip, xz, zstd, bzip2, tar, zip, OVA) are
removed while it is read. Packed raw disks and disks in other formats (VMDK, VDI, VHD, VHDX) become reproducible qcow2 files (see
:mod:`pragmaspec.images.formats.qcow2_writer`), so that every user gets the same digest.

There is no race between inspection and use: a file is opened once, its content is copied to a private directory of the store, and
the copy is inspected and published.
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
from pragmaspec.images.formats.random_access import HEAD_BYTES, TAIL_BYTES, RandomAccess, RandomAccessFile, open_regular
from pragmaspec.images.formats.sparse import read_blocks, write_sparse
from pragmaspec.images.store.blobs import disk_full_as_error, file_sha256, fsync_path
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions, cache_disk, cached_disk
from pragmaspec.images.store.digest_cache import changed_while_reading
from pragmaspec.typing import override

_SPACE_CHECK_BYTES = 64 * 2**20
"""Bytes written between two checks of the free space."""
_RESERVED_BYTES = 256 * 2**20
"""Space to leave free: other programs need the file system too."""
_WRITE_BYTES = 2**20
"""Size of a write, to switch between threads less often."""
_NATIVE = {"raw", "qcow2"}
_NO_OPTIONS = DiskOptions()


def make_disk(
    file: Path, context: ImageContext, options: DiskOptions = _NO_OPTIONS, *, name: str = "", digest: str | None = None
) -> BootableDisk:
    """Put the disk in ``file`` into the store.

    A file in the store's own ``incoming`` directory is consumed; any other is copied. ``name``: in errors, else that of the
    image; ``digest``: the SHA-256 of the file if known, to reuse a disk made before. Raises ImageError.
    """
    if options.declared is not None and options.declared not in DISK_FORMATS:
        known = ", ".join(DISK_FORMATS)
        raise image_refused([f"the format {options.declared!r} is unknown; the formats of disks are {known}"])
    store, work = context.store, work_name(file)
    own = file.absolute().parent == store.incoming.absolute()
    with store.locked(work), disk_full_as_error(store, name or context.image):
        disk = cached_disk(store, digest, options) if digest else None
        if disk is None:
            with open_regular(file) as opened, store.scratch(work) as scratch:
                maker = DiskMaker(context, options, scratch, name or context.image)
                disk = maker.make(file, opened, own=own, digest=digest)
            if digest:
                cache_disk(store, digest, disk, options)
        if own:
            file.unlink(missing_ok=True)
        return disk


def work_name(file: Path) -> str:
    """Return the name of the lock and of the scratch directory for making a disk of ``file``."""
    return f"disk-{sha256(os.fsencode(file.absolute())).hexdigest()[:32]}"


class UnpublishedDisk(NamedTuple):
    """A disk before its final inspection. ``digest``: its SHA-256; ``verified``: qemu-img has accepted it."""

    file: Path
    digest: str
    declared: str | None
    verified: bool = False


class DiskMaker:
    """Makes one disk in the private directory ``scratch``. All methods raise ImageError."""

    def __init__(self, context: ImageContext, options: DiskOptions, scratch: Path, name: str) -> None:
        self._context = context
        self._store = context.store
        self._options = options
        self._scratch = scratch
        self._name = name
        self._packed = False

    def make(self, file: Path, opened: RandomAccessFile, *, own: bool, digest: str | None) -> BootableDisk:
        """Make a disk of ``file``, which is ``opened``; consume it if it is the store's ``own``."""
        self._store.check_space(opened.size + _RESERVED_BYTES, self._name)
        stream, layers = unwrap(opened, self._report_unpacking, self._options.member)
        if layers:
            self._packed = True
            unpublished = self._unwrapped(opened, stream)
            if not opened.unchanged():
                raise changed_while_reading(file)
            return self.publish(unpublished)
        info = self._inspect(opened)  # before gigabytes are copied
        if own:
            copy, found = file, digest or file_sha256(file, lambda done, total: self._context.step("hashing", done, total))
        else:
            copy = self._scratch / "disk"
            found = self._copy(copy, file_chunks(opened, lambda done, total: self._context.step("copying", done, total)))
            if not opened.unchanged() or (digest is not None and digest != found):
                raise changed_while_reading(file)
        native = info.format in _NATIVE
        return self.publish(UnpublishedDisk(copy, found, self._options.declared) if native else self._convert(copy))

    def _unwrapped(self, opened: RandomAccessFile, stream: PeekableStream) -> UnpublishedDisk:
        """Unpack a packed file, once more if its end shows that another member is the disk."""
        max_bytes = max_unpacked_bytes(opened.size, MAX_VIRTUAL_BYTES)
        try:
            return self.unpack(stream, max_bytes)
        except OtherMemberError as other:
            for left in self._scratch.iterdir():
                left.unlink()
            return self.unpack(unwrap(opened, self._report_unpacking, other.member)[0], max_bytes)

    def unpack(self, stream: PeekableStream, max_bytes: int) -> UnpublishedDisk:
        """Make a disk from the content of a packed file, of at most ``max_bytes``."""
        formats = detect_formats(stream.peek(HEAD_BYTES), b"")
        if formats and all(each.family == "other" for each in formats):
            raise image_refused([f"its content is {formats[0].description}, not a disk image"])
        raw = self._options.declared in {None, *_NATIVE} and all(each.name == "raw" for each in formats)
        copy = self._scratch / "disk"
        with prefetch(limit_bytes(stream.rest(), max_bytes)) as chunks:
            if raw:
                return self._from_raw(chunks)
            digest = self._copy(copy, chunks)
        with open_regular(copy) as opened:
            info = self._inspect(opened)
        return UnpublishedDisk(copy, digest, self._options.declared) if info.format in _NATIVE else self._convert(copy)

    def publish(self, disk: UnpublishedDisk) -> BootableDisk:
        """Inspect the disk, also with qemu-img, and give it its final name."""
        self._context.step("checking")
        reach("images.check")
        with open_regular(disk.file) as opened:
            info = inspect_any(opened, disk.declared, partitionless=self._options.partitionless)
        format_: BootFormat = "qcow2" if info.format == "qcow2" else "raw"
        if format_ == "qcow2" and not disk.verified:
            qemu_img.verify_qcow2(disk.file, info.virtual_size_bytes)
        return BootableDisk(self._store.publish(disk.file, disk.digest), format_, info.virtual_size_bytes)

    def _verified(self, file: Path, size_bytes: int) -> UnpublishedDisk:
        """Hash, flush and verify at the same time the qcow2 that was written here, of a disk of ``size_bytes``."""
        reach("images.ours")
        with ThreadPoolExecutor(2) as executor:
            pending = executor.submit(fsync_path, file), executor.submit(qemu_img.verify_qcow2, file, size_bytes)
            digest = file_sha256(file, lambda done, total: self._context.step("hashing", done, total))
            for each in pending:
                each.result()
        return UnpublishedDisk(file, digest, "qcow2", verified=True)

    def _report_unpacking(self, done: int, total: int) -> None:
        if self._packed:  # else only the head is read
            self._context.step("unpacking", done, total)

    def _from_raw(self, chunks: Iterator[bytes]) -> UnpublishedDisk:
        """Write a raw disk as qcow2. Its head and tail are kept, since raw disks are inspected by them."""
        target, ends = self._scratch / "disk.qcow2", _Ends()
        with target.open("xb", buffering=_WRITE_BYTES) as stream:
            size = write_qcow2(stream, ends.record(self._checked(chunks)))
        inspect_any(ends, self._options.declared, partitionless=self._options.partitionless)
        return self._verified(target, size)

    def _convert(self, copy: Path) -> UnpublishedDisk:
        """Convert a disk in another format, through a sparse raw disk."""
        with open_regular(copy) as opened:
            info = self._inspect(opened)
        qemu_img.verify_format(copy, info.format, info.virtual_size_bytes)
        reach("images.convert")
        raw, target = self._scratch / "disk.raw", self._scratch / "disk.qcow2"
        size = info.virtual_size_bytes

        def report(percent: int) -> None:
            self._context.step("converting", size * percent // 100, size)
            self._store.check_space(_RESERVED_BYTES, self._name)

        qemu_img.convert(copy, info.format, raw, "raw", max_bytes=size, on_percent=report)
        reach("images.converted")
        copy.unlink()
        with open_regular(raw) as opened, target.open("xb", buffering=_WRITE_BYTES) as stream:
            write_qcow2(stream, self._checked(read_blocks(opened.handle)))
            inspect_any(opened, "raw", partitionless=self._options.partitionless)
        raw.unlink()
        return self._verified(target, size)

    def _inspect(self, opened: RandomAccessFile) -> DiskInfo:
        return inspect_any(opened, self._options.declared, partitionless=self._options.partitionless)

    def _copy(self, target: Path, chunks: Iterable[bytes]) -> str:
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            return write_sparse(handle, self._checked(chunks))[0]
        finally:
            os.close(handle)

    def _checked(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, and check the free space at intervals."""
        since = 0
        for chunk in chunks:
            since += len(chunk)
            if since >= _SPACE_CHECK_BYTES:
                self._store.check_space(_RESERVED_BYTES, self._name)
                since = 0
            reach("images.piece")
            yield chunk


class _Ends(RandomAccess):
    """Random access to the first MiB and the last 4 KiB of a stream that has been read."""

    def __init__(self) -> None:
        self._head = self._tail = b""
        self._size = 0

    @property
    @override
    def size(self) -> int:
        return self._size

    def record(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the same chunks."""
        for chunk in chunks:
            if len(self._head) < HEAD_BYTES:
                self._head = (self._head + chunk)[:HEAD_BYTES]
            self._tail = (self._tail + chunk)[-TAIL_BYTES:] if len(chunk) < TAIL_BYTES else chunk[-TAIL_BYTES:]
            self._size += len(chunk)
            yield chunk

    @override
    def read_at(self, offset: int, length: int) -> bytes:
        begin = self.size - len(self._tail)
        return self._tail[offset - begin :][:length] if offset >= begin else self._head[offset : offset + length]
