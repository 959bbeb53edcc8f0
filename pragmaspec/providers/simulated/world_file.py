"""The file of a simulated site: an append-only log that several processes share, rewritten when it is mostly history.

Whoever holds ``flock`` on the file may read and append; every call reads only what others appended since. A rewrite goes to a new
file that is renamed into place, so whoever waited for the lock checks that the path still names the file it locked.
Nothing is synced to the disk: the file plays a hypervisor, which a crash of *our* process does not touch either.
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
"""How long a call waits for other processes before the site counts as unreachable."""


class WorldLog:
    """The log at ``path``. One thread at a time; other processes are kept out while :meth:`locked`."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._name_of_file = str(path)
        self._file = -1
        self._inode = 0
        self._size = 0
        self._start_again()

    @contextmanager
    def locked(self, *, create: bool) -> Iterator[World]:
        """The world as it is now; nobody else changes it meanwhile. What the caller changed is appended at the end.

        Without ``create`` an absent file is an empty world, and stays absent.
        """
        try:
            if self._lock(create=create):
                self._catch_up()
            yield self._world
            if self._world.changes:
                self._append()
        except BaseException:
            # What a failed call may have put stands in memory only; the file is the truth.
            if self._world.changes:
                self._start_again()
            raise
        finally:
            self._unlock()

    def close(self) -> None:
        """Let go of the file, and with it of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._start_again()

    def _lock(self, *, create: bool) -> bool:
        """Lock the file that the path names now, and note its size. False: there is none, and none was to be made."""
        try:
            while self._file >= 0 or self._open(create=create):
                self._wait_for_lock()
                if self._is_current():
                    return True
                self.close()
        except OSError as error:
            raise self._unreachable(f"{self._path}: {error.strerror}.") from error
        return False

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
            there = os.stat(self._name_of_file)  # noqa: PTH116 - twice as quick as Path.stat, and asked at every call
        except FileNotFoundError:
            return False
        self._size = there.st_size
        return there.st_ino == self._inode

    def _catch_up(self) -> None:
        if self._size < self._read:
            self._start_again()
        if self._size == self._read:
            return
        try:
            data = os.pread(self._file, self._size - self._read, self._read)
        except OSError as error:
            raise self._unreachable(f"{self._path}: {error.strerror}.") from error
        whole = data[: data.rfind(b"\n") + 1]  # what follows the last newline was being written when its process died
        for line in whole.splitlines():
            self._take_in(line)
        self._read += len(whole)

    def _take_in(self, line: bytes) -> None:
        self._lines += 1
        try:
            change = decode_line(line)
        except msgspec.MsgspecError as error:
            raise self._unreadable(f"cannot be read ({error})") from error
        if not isinstance(change, Header):
            self._world.apply(change)
        elif change.format != FILE_FORMAT:
            raise self._unreadable(f"says format {change.format}, and this pragmaspec reads format {FILE_FORMAT}")

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
        head = encode_line(Header(format=FILE_FORMAT, name=self._name)) if header else b""
        data = head + b"".join(map(encode_line, lines))
        written = 0
        while written < len(data):
            written += os.write(file, data[written:])
        self._read += len(data)
        self._lines += len(lines) + header

    def _rewrite(self) -> None:
        """Leave only what is there now; costs as much as the world is large, and is due only after as many changes."""
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        file = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)  # before it has its name, so that nobody comes first
        self._read = self._lines = 0
        self._write(file, self._world.everything(), header=True)
        new.replace(self._path)
        os.close(self._file)
        self._file = file
        self._inode = os.fstat(file).st_ino

    def _start_again(self) -> None:
        self._world = World()
        self._read = 0
        self._lines = 0

    def _unreadable(self, why: str) -> SiteUnreachableError:
        line = self._lines
        self._start_again()
        return self._unreachable(
            f"{self._path}, line {line}, {why}. Repair the line, or remove the file: the site is then empty."
        )

    def _unreachable(self, detail: str) -> SiteUnreachableError:
        return SiteUnreachableError("A simulated site does not answer", f"Site {self._name}: {detail}")
