"""Listings that several threads share: searches for objects that begin while a request is under way are one request after it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

Kind = TypeVar("Kind")
Found = Mapping[str, tuple[Kind, ...]]

KEYS_MAX = 20
"""Number of keys in one request, so that its URL stays short."""


class SharedListing(Generic[Kind]):
    """Finds the objects of a key. ``read`` returns those of several keys at once. Thread-safe."""

    def __init__(self, read: Callable[[Sequence[str]], Found[Kind]]) -> None:
        self._read = read
        self._turn = Lock()
        self._state = Lock()
        self._next: _Batch[Kind] = _Batch()

    def find(self, key: str) -> tuple[Kind, ...]:
        """Return the objects of ``key``, from requests that begin after this call. Raises what ``read`` raises."""
        with self._state:
            batch = self._next
            batch.keys.add(key)
        with self._turn:
            if not batch.found.done():
                with self._state:
                    self._next = _Batch()
                self._serve(batch)
        return batch.found.result().get(key, ())

    def _serve(self, batch: "_Batch[Kind]") -> None:
        try:
            batch.found.set_result(in_parts(self._read, sorted(batch.keys)))
        except Exception as error:  # noqa: BLE001 - every thread of the batch raises it
            batch.found.set_exception(error)


class _Batch(Generic[Kind]):
    """Searches that one request answers."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.found: Future[Found[Kind]] = Future()


def in_parts(read: Callable[[Sequence[str]], Found[Kind]], keys: Sequence[str]) -> Found[Kind]:
    """Return the objects of ``keys``, which are read in requests of at most KEYS_MAX."""
    parts = [read(keys[first : first + KEYS_MAX]) for first in range(0, len(keys), KEYS_MAX)]
    return {key: found for part in parts for key, found in part.items()}
