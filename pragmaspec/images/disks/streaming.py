"""Unpack a disk while its file is still being downloaded or hashed.

The packed file is kept, so that an interrupted download can be resumed. The disk stays in a private directory until the digest of
the complete file has been verified, and is then inspected like any other. If unpacking fails, :func:`make_disk` repeats it with
the complete file, and reports what is wrong.
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
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions, cache_disk, cached_disk
from pragmaspec.images.store.digest_cache import changed_while_reading
from pragmaspec.typing import override


def make_disk_of_local_file(
    file: Path, context: ImageContext, options: DiskOptions, check: Callable[[str], None]
) -> BootableDisk:
    """Make a disk of the packed or foreign ``file``, which is read once to hash and to unpack it.

    ``check`` gets the digest, and raises if it is wrong. Raises ImageError.
    """
    with (
        disk_full_as_error(context.store, context.image),
        open_regular(file) as opened,
        StreamingUnpack(context, file, options, consume=False) as unpack,
    ):

        def report(done: int, total: int) -> None:
            unpack.report_read(done, total)
            context.step(f"reading {file.name}", done, total)

        digest = context.digests.blob(file, report).sha256
        check(digest)
        unpack.wait()
        if not opened.unchanged():
            raise changed_while_reading(file)
        return unpack.disk(digest)


class StreamingUnpack:
    """Unpacks ``file`` while it grows, which :meth:`start`, :meth:`advance` and :meth:`finish` announce.

    Only the caller may write the file meanwhile. ``consume``: the file is not needed once the disk is made.
    """

    def __init__(self, context: ImageContext, file: Path, options: DiskOptions, *, consume: bool = True) -> None:
        self._context = context
        self._file = file
        self._options = options
        self._consume = consume
        self._resources = ExitStack()
        self._attempt: _Attempt | None = None
        self._reporter = _DeferredReporter(context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def start(self, total_bytes: int | None) -> None:
        """Start to unpack the file, which exists, from its beginning; discard what was unpacked before."""
        self._stop()
        store, work = self._context.store, work_name(self._file)
        self._resources.enter_context(store.locked(work))
        scratch = self._resources.enter_context(store.scratch(work))
        self._reporter = _DeferredReporter(self._context)
        context = ImageContext(store, self._context.image, self._reporter)
        maker = DiskMaker(context, self._options, scratch, context.image)
        self._attempt = _Attempt(maker, GrowingFile(self._file, total_bytes), context.step, self._options.member)

    def advance(self, so_far: int) -> None:
        """Announce that the first ``so_far`` bytes of the file are final."""
        if self._attempt:
            self._attempt.file.advance(so_far)

    def finish(self) -> None:
        """Announce that the file is complete."""
        if self._attempt:
            self._attempt.file.finish()

    def report_read(self, done: int, total: int) -> None:
        """Announce that ``done`` bytes of a complete file have been read."""
        if self._attempt is None:
            self.start(total)
        self.advance(done)
        if done == total:
            self.finish()

    def wait(self) -> None:
        """Wait until all data so far has been processed."""
        self._reporter.active = True
        if self._attempt:
            self._attempt.wait()

    def disk(self, digest: str) -> BootableDisk:
        """Return the disk, in the store, of the complete file with this verified SHA-256. Raises ImageError."""
        store = self._context.store
        self._reporter.active = True
        try:
            disk = cached_disk(store, digest, self._options) or (self._attempt.publish() if self._attempt else None)
        finally:
            self._stop()
        if disk is None:
            return make_disk(self._file, self._context, self._options, digest=digest)
        cache_disk(store, digest, disk, self._options)
        if self._consume:
            self._file.unlink(missing_ok=True)
        return disk

    def _stop(self) -> None:
        if self._attempt:
            self._attempt.abort()
            self._attempt = None
        self._resources.close()


class _DeferredReporter(ImageReporter):
    """Drops progress until the download is done, so that one activity at a time is reported."""

    def __init__(self, context: ImageContext) -> None:
        self._context = context
        self.active = False

    @override
    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        if self.active:
            self._context.step(doing, done_bytes, total_bytes)


class _Attempt:
    """A thread that unpacks ``file`` from its beginning."""

    def __init__(self, maker: DiskMaker, file: GrowingFile, step: Callable[[str, int, int], None], member: str) -> None:
        self.file = file
        self._maker = maker
        self._step = step
        self._member = member
        self._layers: tuple[str, ...] = ()
        self._unpublished: UnpublishedDisk | None = None
        self._thread = Thread(target=self._run, name="unpack", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the thread to end."""
        self._thread.join()

    def publish(self) -> BootableDisk | None:
        """Return the disk of the complete file, None if it could not be unpacked."""
        self.wait()
        if self._unpublished is None:
            return None
        with open_regular(self.file.file) as opened:
            if detect_layers(opened, self._member) != self._layers:  # the end may show that the format is ambiguous
                return None
        return self._maker.publish(self._unpublished)

    def abort(self) -> None:
        """Stop the thread and wait for its end."""
        self.file.abort()
        self._thread.join()

    def _run(self) -> None:
        chunks = self.file.chunks(lambda done, total: self._step("unpacking", done, total))
        try:
            stream, self._layers = unwrap_stream(PeekableStream(chunks), self._member)
            if self._layers:
                max_bytes = max_unpacked_bytes(self.file.total_bytes or 0, MAX_VIRTUAL_BYTES)
                self._unpublished = self._maker.unpack(stream, max_bytes)
            else:
                self.file.wait()
                fsync_path(self.file.file)  # it will be published as it is; flush it while it is hashed
        except (ReadAbortedError, ImageError, OSError):
            self._unpublished = None  # a second attempt, with the complete file, reports the error
