"""From any file that holds a disk to a disk in the store that a node can boot from.

Raw disks and qcow2 stay what they are, byte for byte. Whatever is around a disk (gzip, xz, zstd, bzip2, tar, zip, OVA) is taken
off while it is read. Raw disks that were packed, and disks of other formats (VMDK, VDI, VHD, VHDX), become qcow2 files that are
a function of the disk's content alone (see :mod:`pragmaspec.images.qcow2_writer`), so that everybody gets the same digest.

Nothing is looked at under a name that somebody else could change in between: the file is opened once, what comes out of it lies
in a private directory of the store, that is inspected, and that is published.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pragmaspec.errors import ImageError, Problem
from pragmaspec.failpoints import reach
from pragmaspec.images import qemu_img
from pragmaspec.images.ahead import ahead
from pragmaspec.images.inspect import DISK_FORMATS, MOST_VIRTUAL_BYTES, Examined, Format, examine, refused
from pragmaspec.images.layers import limited, most_unpacked, unwrapped
from pragmaspec.images.made import Made, made_before, remember_made
from pragmaspec.images.pieces import Stream, pieces_of
from pragmaspec.images.qcow2_writer import write_qcow2
from pragmaspec.images.recognise import recognise
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.sparse import blocks_of, write_sparse
from pragmaspec.images.store import BlobStore, digest_of
from pragmaspec.images.window import HEAD_BYTES, TAIL_BYTES, FileWindow, opened

_LOOK_AFTER_BYTES = 64 * 2**20
"""How often the free space is looked at while something is written."""
_SPARE_BYTES = 256 * 2**20
"""What has to stay free: a full file system harms everybody."""
_NATIVE = {"raw", "qcow2"}


def make_disk(
    file: Path, workshop: Workshop, *, declared: str | None, name: str, partitionless: bool, digest: str | None = None
) -> Made:
    """Put the disk in ``file`` into the store: ``(blob, format, virtual size in bytes)``.

    A file in the store's own ``incoming`` directory is used up; any other is copied and stays. ``declared``: the format of the
    disk itself, whatever is around it (one of ``DISK_FORMATS``), None when its bytes decide. ``partitionless``: it need not be
    able to start alone. ``digest``: the file's SHA-256 when the caller knows it; then nothing is made twice. Raises ImageError.
    """
    if declared is not None and declared not in DISK_FORMATS:
        raise refused([f"the format {declared!r} is not known; a disk is one of {', '.join(DISK_FORMATS)}"])
    store = workshop.store
    work = f"disk-{sha256(os.fsencode(file.absolute())).hexdigest()[:32]}"
    ours = file.absolute().parent == store.incoming.absolute()
    with store.locked(work), _room_words(store, name):
        made = made_before(store, digest, declared=declared, partitionless=partitionless) if digest else None
        if made is None:
            with opened(file) as window, store.scratch(work) as scratch:
                maker = _Maker(workshop, name, declared, scratch, partitionless=partitionless)
                made = maker.make(file, window, ours=ours, digest=digest)
            if digest:
                remember_made(store, digest, made, declared=declared, partitionless=partitionless)
        if ours:
            file.unlink(missing_ok=True)
        return made


class _Maker:
    """Makes one disk in a directory of its own."""

    def __init__(self, workshop: Workshop, name: str, declared: str | None, scratch: Path, *, partitionless: bool) -> None:
        self._workshop = workshop
        self._store = workshop.store
        self._name = name
        self._declared = declared
        self._scratch = scratch
        self._partitionless = partitionless
        self._packing = ""

    def make(self, file: Path, window: FileWindow, *, ours: bool, digest: str | None) -> Made:
        """The disk in ``file``, which is open as ``window``."""
        self._store.check_space(window.size + _SPARE_BYTES, self._name)
        stream, layers = unwrapped(window, self._unpacked)
        if layers:
            self._packing = layers[0]
            return self._packed(stream, most_unpacked(window.size, MOST_VIRTUAL_BYTES))
        examined = self._examine(window)  # before gigabytes are copied
        if ours:
            copy, found = file, digest
        else:
            copy = self._scratch / "disk"
            found = self._copy(copy, pieces_of(window, lambda done, total: self._workshop.step("copying", done, total)))
            _check_unchanged(file, window, found, digest)
        return self._publish(copy, found, self._declared) if examined.format in _NATIVE else self._convert(copy)

    def _unpacked(self, done: int, total: int) -> None:
        if self._packing:  # else it was only looked at
            self._workshop.step("unpacking", done, total)

    def _packed(self, stream: Stream, most_bytes: int) -> Made:
        """The disk that comes out of a packed file."""
        kinds = recognise(stream.peek(HEAD_BYTES), b"")
        if kinds and all(kind.family == "other" for kind in kinds):
            raise refused([f"what is packed in it is {kinds[0].words}, not a disk image"])
        foreign = self._declared not in {None, *_NATIVE} or any(kind.name != "raw" for kind in kinds)
        copy = self._scratch / "disk"
        with ahead(limited(stream.rest(), most_bytes)) as pieces:
            if not foreign:
                return self._from_raw(pieces)
            digest = self._copy(copy, pieces)
        with opened(copy) as window:
            examined = self._examine(window)
        return self._publish(copy, digest, self._declared) if examined.format in _NATIVE else self._convert(copy)

    def _from_raw(self, pieces: Iterator[bytes]) -> Made:
        """A raw disk as it comes, made into qcow2 in passing. Its ends are kept, since that is what a raw disk is judged by."""
        made, ends = self._scratch / "disk.qcow2", _Ends()
        with made.open("xb") as target:
            write_qcow2(target, ends.noted(self._watched(pieces)))
        examine(ends, self._declared, partitionless=self._partitionless)
        return self._publish(made, None, "qcow2")

    def _convert(self, copy: Path) -> Made:
        """A disk of another format, through a raw disk with holes."""
        with opened(copy) as window:
            examined = self._examine(window)
        qemu_img.agree(copy, examined.format, examined.virtual_size_bytes)
        reach("images.convert")
        raw, made = self._scratch / "disk.raw", self._scratch / "disk.qcow2"
        size = examined.virtual_size_bytes

        def converted(percent: int) -> None:
            self._workshop.step("converting", size * percent // 100, size)
            self._store.check_space(_SPARE_BYTES, self._name)

        qemu_img.convert(copy, examined.format, raw, "raw", most_bytes=size, counted=converted)
        reach("images.converted")
        copy.unlink()
        with opened(raw) as window, made.open("xb") as target:
            write_qcow2(target, self._watched(blocks_of(window.handle)))
            examine(window, "raw", partitionless=self._partitionless)
        raw.unlink()
        return self._publish(made, None, "qcow2")

    def _publish(self, file: Path, digest: str | None, declared: str | None) -> Made:
        """Inspect what there is now, let qemu-img do the same, and give it its final name."""
        self._workshop.step("checking")
        reach("images.check")
        with opened(file) as window:
            examined = examine(window, declared, partitionless=self._partitionless)
        format_: Format = "qcow2" if examined.format == "qcow2" else "raw"
        if format_ == "qcow2":
            qemu_img.agree(file, format_, examined.virtual_size_bytes)
            qemu_img.check(file)
        digest = digest or digest_of(file, lambda done, total: self._workshop.step("hashing", done, total))
        return Made(self._store.publish(file, digest), format_, examined.virtual_size_bytes)

    def _examine(self, window: FileWindow) -> Examined:
        return examine(window, self._declared, partitionless=self._partitionless)

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
        """See :class:`pragmaspec.images.window.Window`; only the ends are there."""
        begin = self.size - len(self._tail)
        return self._tail[offset - begin :][:length] if offset >= begin else self._head[offset : offset + length]


def _check_unchanged(file: Path, window: FileWindow, found: str, digest: str | None) -> None:
    now = os.fstat(window.handle)
    if now.st_size != window.size or (digest is not None and digest != found):
        raise ImageError(
            Problem(
                summary="image changes while it is read",
                detail=f"{file} was written to while it was copied. Wait until whatever writes it is done.",
            )
        )


@contextmanager
def _room_words(store: BlobStore, name: str) -> Iterator[None]:
    """A full file system in words for people."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise ImageError(
            Problem(
                summary="no room for the image",
                detail=f"{store.directory} is full ({error.strerror}), before {name} was whole. Free some space, or set "
                "PRAGMASPEC_IMAGES to a directory that has it.",
            )
        ) from None
