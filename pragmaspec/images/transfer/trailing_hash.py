"""Digests of a growing file, computed by a thread that reads behind the writer, so that the transfer never waits for them."""

import hashlib
from pathlib import Path
from threading import Thread

from pragmaspec.images.disks.growing_file import GrowingFile, ReadAbortedError
from pragmaspec.images.store.blobs import ProgressCallback


class TrailingHash:
    """The digests ``kinds`` of ``file``. ``progress`` is called once the file is complete, with bytes hashed and total bytes."""

    def __init__(self, file: Path, kinds: tuple[str, ...], progress: ProgressCallback) -> None:
        self._file = file
        self._kinds = kinds
        self._progress = progress
        self._worker: _Worker | None = None

    def start(self, total_bytes: int | None) -> None:
        """Start over with a file that grows from its first byte."""
        self.stop()
        self._worker = _Worker(GrowingFile(self._file, total_bytes), self._kinds, self._progress)

    def advance(self, size_bytes: int) -> None:
        """The first ``size_bytes`` bytes of the file are written."""
        if self._worker:
            self._worker.file.advance(size_bytes)

    def finish(self) -> None:
        """The file is complete."""
        if self._worker:
            self._worker.file.finish()

    def hexdigest(self, kind: str) -> str:
        """Return a digest of the whole file, after :meth:`finish`. Raises OSError if the file could not be read."""
        if self._worker is None:
            raise RuntimeError("no data")
        return self._worker.hexdigest(kind)

    def stop(self) -> None:
        """Abandon the digests and end the thread."""
        if self._worker:
            self._worker.abort()
            self._worker = None


class _Worker:
    """The thread and its digests."""

    def __init__(self, file: GrowingFile, kinds: tuple[str, ...], progress: ProgressCallback) -> None:
        self.file = file
        self._digests = {kind: hashlib.new(kind) for kind in kinds}
        self._progress = progress
        self._error: OSError | None = None
        self._thread = Thread(target=self._run, name="digest", daemon=True)
        self._thread.start()

    def hexdigest(self, kind: str) -> str:
        self._thread.join()
        if self._error:
            raise self._error
        return self._digests[kind].hexdigest()

    def abort(self) -> None:
        self.file.abort()
        self._thread.join()

    def _run(self) -> None:
        try:
            for chunk in self.file.chunks(self._progress):
                for digest in self._digests.values():
                    digest.update(chunk)
        except OSError as error:
            self._error = error
        except ReadAbortedError:
            pass
