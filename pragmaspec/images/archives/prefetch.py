"""Getting pieces in a thread while those before them are worked on: unpacking and writing each keep a processor busy."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Semaphore, Thread

_PIECES = 8
"""How many may wait; each has 1 MiB at most."""


class _End:
    """What comes behind the last piece: the error that ended them, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def prefetch(pieces: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """The same pieces, fetched ahead; an error comes in its place among them. The thread is gone afterwards."""
    queue: SimpleQueue[bytes | _End] = SimpleQueue()
    room, enough = Semaphore(_PIECES), Event()

    def fetch() -> None:
        try:
            for piece in pieces:
                room.acquire()
                if enough.is_set():
                    return
                queue.put(piece)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the pieces are taken
            queue.put(_End(error))
        else:
            queue.put(_End(None))

    def taken() -> Iterator[bytes]:
        while not isinstance(piece := queue.get(), _End):
            yield piece
            room.release()
        if piece.error is not None:
            raise piece.error

    thread = Thread(target=fetch, name="unpacking", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        enough.set()
        room.release()
        thread.join()
