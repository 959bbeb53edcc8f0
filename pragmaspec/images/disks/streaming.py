"""A disk that is made of a packed file while that is still on its way, so that nobody waits for one and then for the other.

The packed file itself is kept as it comes, since an interrupted transfer goes on with it. Nothing that is made here is trusted:
it stays in a private directory until the digest of all that came is known to be right, and is then inspected like any other
disk. Whatever cannot be made in passing, or goes wrong, is made again from the whole file, by :func:`make_disk`, which says what
is wrong with it.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from pragmaspec.errors import ImageError
from pragmaspec.images.archives.layers import detect_layers, max_unpacked_bytes, unwrap_stream
from pragmaspec.images.archives.stream import PeekableStream
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.growing_file import GrowingFile, ReadAbortedError
from pragmaspec.images.disks.make_disk import DiskMaker, UnpublishedDisk, make_disk, work_name
from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.store.blobs import disk_full_as_error, fsync_path
from pragmaspec.images.store.conversion_cache import BootableDisk, cache_disk, cached_disk
from pragmaspec.images.store.digest_cache import changed_while_reading


def make_disk_of_local_file(
    file: Path,
    workshop: ImageContext,
    *,
    declared: str | None,
    partitionless: bool,
    check: Callable[[str], None],
    member: str = "",
) -> BootableDisk:
    """The disk in the packed or foreign ``file``, which stays; it is read once for its digest and for what is in it.

    ``check`` is given the digest, and raises when it is the wrong one. Raises ImageError.
    """
    with (
        disk_full_as_error(workshop.store, workshop.image),
        open_regular(file) as window,
        StreamingUnpack(
            workshop, file, declared=declared, partitionless=partitionless, used_up=False, member=member
        ) as alongside,
    ):

        def read(done: int, total: int) -> None:
            alongside.read(done, total)
            workshop.step(f"reading {file.name}", done, total)

        digest = workshop.digests.blob(file, read).sha256
        check(digest)
        alongside.wait()
        if not window.unchanged():
            raise changed_while_reading(file)
        made = alongside.made(digest)
    if made:
        return made
    return make_disk(
        file, workshop, declared=declared, name=workshop.image, partitionless=partitionless, digest=digest, member=member
    )


class StreamingUnpack:
    """Makes a disk of ``file`` while :meth:`begins` and :meth:`came` are told how much of it is there.

    The caller alone may write the file meanwhile. ``used_up``: it is not needed any more once the disk is made.
    """

    def __init__(
        self,
        workshop: ImageContext,
        file: Path,
        *,
        declared: str | None,
        partitionless: bool,
        used_up: bool = True,
        member: str = "",
    ) -> None:
        self._workshop = workshop
        self._file = file
        self._declared = declared
        self._partitionless = partitionless
        self._used_up = used_up
        self._member = member
        self._held = ExitStack()
        self._working: _Working | None = None
        self._gate = _Gate(workshop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def begins(self, total_bytes: int | None) -> None:
        """The file begins to come; whatever was made of what came before is forgotten. It has to be there, perhaps empty."""
        self._stop()
        store, work = self._workshop.store, work_name(self._file)
        self._held.enter_context(store.locked(work))
        scratch = self._held.enter_context(store.scratch(work))
        self._gate = _Gate(self._workshop)
        workshop = ImageContext(store, self._workshop.image, self._gate)
        maker = DiskMaker(workshop, workshop.image, self._declared, scratch, partitionless=self._partitionless)
        self._working = _Working(maker, GrowingFile(self._file, total_bytes), workshop.step, self._member)

    def came(self, so_far: int) -> None:
        """The first ``so_far`` bytes of the file stand there."""
        if self._working:
            self._working.arrival.came(so_far)

    def read(self, done: int, total: int) -> None:
        """Somebody has read the first ``done`` bytes of a file that is there whole."""
        if self._working is None:
            self.begins(total)
        self.came(done)
        if done == total:
            self.ends()

    def ends(self) -> None:
        """Nothing more comes."""
        if self._working:
            self._working.arrival.end()

    def wait(self) -> None:
        """Until all that came was worked on."""
        self._gate.open = True
        if self._working:
            self._working.wait()

    def made(self, digest: str) -> BootableDisk | None:
        """The disk, in the store, once all has come, and is what it has to be: ``digest`` is the file's SHA-256, made sure of.

        None when it could not be made in passing. Raises ImageError when it is refused.
        """
        store, declared, bare = self._workshop.store, self._declared, self._partitionless
        self._gate.open = True
        try:
            made = cached_disk(store, digest, declared=declared, partitionless=bare, member=self._member)
            made = made or (self._working.finish() if self._working else None)
        finally:
            self._stop()
        if made is not None:
            cache_disk(store, digest, made, declared=declared, partitionless=bare, member=self._member)
            if self._used_up:
                self._file.unlink(missing_ok=True)
        return made

    def _stop(self) -> None:
        if self._working:
            self._working.give_up()
            self._working = None
        self._held.close()


class _Gate(ImageReporter):
    """Keeps silent until the transfer is done: of two things at once only one is told."""

    def __init__(self, workshop: ImageContext) -> None:
        self._workshop = workshop
        self.open = False

    def step(self, _: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        """What the thread does, when nothing else is done any more."""
        if self.open:
            self._workshop.step(doing, done_bytes, total_bytes)


class _Working:
    """One file that is being unpacked, by a thread."""

    def __init__(self, maker: DiskMaker, arrival: GrowingFile, step: Callable[[str, int, int], None], member: str) -> None:
        self.arrival = arrival
        self._maker = maker
        self._step = step
        self._member = member
        self._layers: tuple[str, ...] = ()
        self._ready: UnpublishedDisk | None = None
        self._thread = Thread(target=self._run, name="alongside", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the thread is done."""
        self._thread.join()

    def finish(self) -> BootableDisk | None:
        """What was made of the file, which is whole now."""
        self.wait()
        if self._ready is None:
            return None
        with open_regular(self.arrival.file) as window:
            if detect_layers(window, self._member) != self._layers:  # its end may tell that it is two things at once
                return None
        return self._maker.publish(self._ready)

    def give_up(self) -> None:
        """Stop, and wait until that is done."""
        self.arrival.give_up()
        self._thread.join()

    def _run(self) -> None:
        pieces = self.arrival.pieces(lambda done, total: self._step("unpacking", done, total))
        try:
            stream, self._layers = unwrap_stream(PeekableStream(pieces), self._member)
            if self._layers:
                most = max_unpacked_bytes(self.arrival.total_bytes or 0, MAX_VIRTUAL_BYTES)
                self._ready = self._maker.unpack(stream, most)
            else:
                self.arrival.wait()
                fsync_path(self.arrival.file)  # as it will be published, and while its digest is made
        except (ReadAbortedError, ImageError, OSError):
            self._ready = None  # what is wrong, the whole file will tell
