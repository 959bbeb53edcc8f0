"""Hashing in a separate thread: hashlib releases the GIL while it works."""

import hashlib
import threading
from queue import Queue
from types import TracebackType
from typing import Self

MAX_QUEUED_CHUNKS = 16
"""Chunks that may wait to be hashed; they are all the memory that is needed."""


class ThreadedHash:
    """Hashes the chunks given to :meth:`update` by all algorithms ``kinds``."""

    def __init__(self, kinds: tuple[str, ...] = ("sha256",)) -> None:
        self._digests = {kind: hashlib.new(kind) for kind in kinds}
        self._chunks: Queue[bytes | None] = Queue(MAX_QUEUED_CHUNKS)
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._finish()

    def update(self, chunk: bytes) -> None:
        """Add ``chunk``, which must not be changed afterwards."""
        self._chunks.put(chunk)

    def hex(self, kind: str) -> str:
        """Return the digest of all chunks, in hexadecimal, and end the thread."""
        self._finish()
        return self._digests[kind].hexdigest()

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._chunks.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            for digest in self._digests.values():
                digest.update(chunk)
