"""Prefetch chunks in a thread, so that decompressing and writing each keep a processor busy."""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event, Semaphore, Thread

_MAX_QUEUED = 8
"""Chunks that may wait, of 1 MiB at most."""


class _End:
    """The marker after the last chunk, with the error that ended them, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def prefetch(chunks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Yield the same chunks, prefetched; an error is raised in its place among them. The thread ends with the block."""
    queue: SimpleQueue[bytes | _End] = SimpleQueue()
    free, stop = Semaphore(_MAX_QUEUED), Event()

    def fetch() -> None:
        try:
            for chunk in chunks:
                free.acquire()
                if stop.is_set():
                    return
                queue.put(chunk)
        except BaseException as error:  # noqa: BLE001 - raised again in the consumer
            queue.put(_End(error))
        else:
            queue.put(_End(None))

    def consume() -> Iterator[bytes]:
        while not isinstance(item := queue.get(), _End):
            yield item
            free.release()
        if item.error is not None:
            raise item.error

    thread = Thread(target=fetch, name="prefetch", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stop.set()
        free.release()
        thread.join()
