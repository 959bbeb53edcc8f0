"""Digests of a file that is still on its way, by a thread that reads behind it: the transfer never waits for them."""

import hashlib
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from pragmaspec.images.disks.growing_file import GrowingFile, ReadAbortedError
from pragmaspec.images.store.blobs import ProgressCallback


class TrailingHash:
    """The digests ``kinds`` of ``file``. ``counted`` is told bytes done and in all once the file is whole."""

    def __init__(self, file: Path, kinds: tuple[str, ...], counted: ProgressCallback) -> None:
        self._file = file
        self.kinds = kinds
        self._counted = counted
        self._working: _Working | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def start(self, total_bytes: int | None) -> None:
        """The file is there, and begins from its first byte."""
        self._stop()
        self._working = _Working(GrowingFile(self._file, total_bytes), self.kinds, self._counted)

    def advance(self, so_far: int) -> None:
        """The first ``so_far`` bytes of the file stand there."""
        if self._working:
            self._working.arrival.advance(so_far)

    def finish(self) -> None:
        """Nothing more comes."""
        if self._working:
            self._working.arrival.finish()

    def hex(self, kind: str) -> str:
        """The digest of the whole file, in hexadecimal, after :meth:`finish`. Raises OSError when it could not be read."""
        if self._working is None:
            raise RuntimeError("nothing came yet")
        return self._working.hex(kind)

    def _stop(self) -> None:
        if self._working:
            self._working.give_up()
            self._working = None


class _Working:
    """The thread, and what it has found."""

    def __init__(self, arrival: GrowingFile, kinds: tuple[str, ...], counted: ProgressCallback) -> None:
        self.arrival = arrival
        self._digests = {kind: hashlib.new(kind) for kind in kinds}
        self._counted = counted
        self._error: OSError | None = None
        self._thread = Thread(target=self._run, name="digest", daemon=True)
        self._thread.start()

    def hex(self, kind: str) -> str:
        self._thread.join()
        if self._error:
            raise self._error
        return self._digests[kind].hexdigest()

    def give_up(self) -> None:
        self.arrival.abort()
        self._thread.join()

    def _run(self) -> None:
        try:
            for piece in self.arrival.chunks(self._counted):
                for digest in self._digests.values():
                    digest.update(piece)
        except OSError as error:
            self._error = error
        except ReadAbortedError:
            pass
