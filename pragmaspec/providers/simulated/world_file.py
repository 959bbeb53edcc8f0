"""The file of a simulated site: an append-only log shared by processes, rewritten when it is mostly history.

The holder of ``flock`` on the file may append; a call reads only the lines appended since the last one. A rewrite
creates a new file that is renamed into place, so a process that waited for the lock checks that the path still names its file.
Nothing is synced to the disk: the file stands for a hypervisor, which a crash of *this* process does not affect either.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.providers.simulated.objects import FILE_FORMAT, Header, RemovedObject, SiteObject, decode_line, encode_line
from pragmaspec.providers.simulated.world import World

LOCK_LIMIT_S = 10.0
"""Seconds that a call waits for other processes before the site counts as unreachable."""


class WorldLog:
    """The log at ``path``. Not thread-safe; :meth:`locked` excludes other processes."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._name_of_file = str(path)
        self._file = -1
        self._inode = 0
        self._size = 0
        self._reset()

    @contextmanager
    def reading(self) -> Iterator[World]:
        """The current world, to read. Without the lock: only complete lines are read, and no line ever changes.

        An absent file is an empty world.
        """
        try:
            while self._file >= 0 or self._open(create=False):
                if self._is_current():
                    self._catch_up()
                    break
                self.close()
        except OSError as error:
            raise self._unreachable(f"{self._path}: {error.strerror}.") from error
        yield self._world

    @contextmanager
    def locked(self) -> Iterator[World]:
        """The current world, under the lock. The caller's changes are appended afterwards."""
        try:
            self._lock()
            self._catch_up()
            yield self._world
            if self._world.changes:
                self._append()
        except BaseException:
            # Changes of a failed call exist only in memory; the file is authoritative.
            if self._world.changes:
                self._reset()
            raise
        finally:
            self._unlock()

    def close(self) -> None:
        """Close the file, which releases the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._reset()

    def _lock(self) -> None:
        """Lock the file that the path names now, and record its size."""
        try:
            while self._file >= 0 or self._open(create=True):
                self._wait_for_lock()
                if self._is_current():
                    return
                self.close()
        except OSError as error:
            raise self._unreachable(f"{self._path}: {error.strerror}.") from error

    def _unlock(self) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _open(self, *, create: bool) -> bool:
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        if create:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags |= os.O_CREAT
        try:
            self._file = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            if create:
                raise
            return False
        self._inode = os.fstat(self._file).st_ino
        return True

    def _wait_for_lock(self) -> None:
        limit = time.monotonic() + LOCK_LIMIT_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > limit:
                    raise self._unreachable(f"Another process has held {self._path} for {LOCK_LIMIT_S:.0f} s.") from None
                time.sleep(0.0005)
            else:
                return

    def _is_current(self) -> bool:
        try:
            found = os.stat(self._name_of_file)  # noqa: PTH116 - twice as fast as Path.stat, and used in every call
        except FileNotFoundError:
            return False
        self._size = found.st_size
        return found.st_ino == self._inode

    def _catch_up(self) -> None:
        if self._size < self._read:
            self._reset()
        if self._size == self._read:
            return
        try:
            data = os.pread(self._file, self._size - self._read, self._read)
        except OSError as error:
            raise self._unreachable(f"{self._path}: {error.strerror}.") from error
        start = 0
        # What follows the last newline was being written when its process died. A list of all lines would need the memory again.
        while (end := data.find(b"\n", start)) >= 0:
            self._apply(data[start:end])
            start = end + 1
        self._read += start

    def _apply(self, line: bytes) -> None:
        self._lines += 1
        try:
            change = decode_line(line)
        except msgspec.MsgspecError as error:
            raise self._unreadable(f"cannot be read ({error})") from error
        if not isinstance(change, Header):
            self._world.apply(change)
        elif change.format != FILE_FORMAT:
            raise self._unreadable(f"has format {change.format}, but this pragmaspec reads format {FILE_FORMAT}")
        else:
            self._world.first_name = change.name

    def _append(self) -> None:
        try:
            if self._size > self._read:
                os.ftruncate(self._file, self._read)
            self._write(self._file, self._world.changes, header=self._read == 0)
            if self._lines > 1000 + 4 * len(self._world):
                self._rewrite()
        except OSError as error:
            raise SiteError("A simulated site cannot write its file", f"{self._path}: {error.strerror}.") from error
        self._world.changes.clear()

    def _write(self, file: int, lines: Sequence[SiteObject | RemovedObject], *, header: bool) -> None:
        head = b""
        if header:
            self._world.first_name = self._world.first_name or self._name
            head = encode_line(Header(format=FILE_FORMAT, name=self._world.first_name))
        data = head + b"".join(map(encode_line, lines))
        written = 0
        while written < len(data):
            written += os.write(file, data[written:])
        self._read += len(data)
        self._lines += len(lines) + header

    def _rewrite(self) -> None:
        """Write only the current objects. The cost is proportional to their number, amortised over as many changes."""
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        file = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)  # Before the rename, so that no other process locks it first.
        self._read = self._lines = 0
        self._write(file, self._world.everything(), header=True)
        new.replace(self._path)
        os.close(self._file)
        self._file = file
        self._inode = os.fstat(file).st_ino

    def _reset(self) -> None:
        self._world = World()
        self._read = 0
        self._lines = 0

    def _unreadable(self, why: str) -> SiteUnreachableError:
        line = self._lines
        self._reset()
        return self._unreachable(
            f"{self._path}, line {line}, {why}. Repair the line, or remove the file: the site is then empty."
        )

    def _unreachable(self, detail: str) -> SiteUnreachableError:
        return SiteUnreachableError("A simulated site does not answer", f"Site {self._name}: {detail}")
