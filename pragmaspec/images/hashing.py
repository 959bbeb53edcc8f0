"""Digests made beside the transfer, in a thread of their own: hashlib lets go of the interpreter while it works."""

import hashlib
import threading
from queue import Queue
from types import TracebackType
from typing import Self

MAX_QUEUED_CHUNKS = 16
"""Pieces that may wait for the digest; so many times the piece is all the memory it takes."""


class ThreadedHash:
    """The digests ``kinds`` of what :meth:`update` is given, in that order."""

    def __init__(self, kinds: tuple[str, ...] = ("sha256",)) -> None:
        self._digests = {kind: hashlib.new(kind) for kind in kinds}
        self._pieces: Queue[bytes | None] = Queue(MAX_QUEUED_CHUNKS)
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._finish()

    def update(self, piece: bytes) -> None:
        """Take ``piece`` into account. It must not be changed afterwards."""
        self._pieces.put(piece)

    def hex(self, kind: str) -> str:
        """The digest of all that was given, in hexadecimal. Ends the work."""
        self._finish()
        return self._digests[kind].hexdigest()

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._pieces.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            for digest in self._digests.values():
                digest.update(piece)
