"""The objects of a site, each a directory with a JSON file, and the lock that makes changes atomic."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from pragmaspec.providers.api import Frozen, Mark


class StoredAllocation(Frozen, frozen=True):
    """The networks and public addresses of a cluster."""

    lineage: str
    address: str
    op: str = ""
    networks: tuple[tuple[str, int | None], ...] = ()
    cidrs: tuple[str, ...] = ()
    public: tuple[str, ...] = ()


class StoredImage(Frozen, frozen=True):
    """An image; ``users`` are the lineages of the stacks that use it."""

    digest: str
    users: tuple[str, ...]


class StoredMachine(Frozen, frozen=True):
    """A machine, whose disk is the file ``disk`` beside this JSON."""

    lineage: str
    address: str
    generation: int
    op: str
    running: bool
    cpus: int
    memory_mib: int
    disk_bytes: int


Stored = TypeVar("Stored", StoredAllocation, StoredImage, StoredMachine)


class Store:
    """The objects below ``root``: ``<root>/<kind>/<key>/object.json``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other threads and processes."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def all(self, kind: type[Stored]) -> tuple[Stored, ...]:
        """Return every object of ``kind``."""
        files = sorted((self.root / kind.__name__).glob("*/object.json"))
        return tuple(msgspec.json.decode(file.read_bytes(), type=kind) for file in files)

    def directory(self, kind: type[Stored], key: str) -> Path:
        """Return the directory of an object."""
        return self.root / kind.__name__ / key

    def put(self, key: str, value: StoredAllocation | StoredImage | StoredMachine) -> None:
        """Write an object. A reader sees the old or the new one."""
        directory = self.root / type(value).__name__ / key
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "object.new").write_bytes(msgspec.json.encode(value))
        (directory / "object.new").rename(directory / "object.json")

    def put_private(self, file: Path, content: bytes) -> None:
        """Write a file that only this user can read, as user-data contains private keys."""
        file.touch(mode=0o600)
        file.write_bytes(content)

    def remove(self, kind: type[Stored], key: str) -> None:
        """Remove an object with its files. Absent: no error."""
        shutil.rmtree(self.directory(kind, key), ignore_errors=True)


def key_of(mark: Mark) -> str:
    """Return the key of an allocation or a machine: its identity, which is found without the state."""
    return mark.uuid
