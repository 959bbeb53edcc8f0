"""Spills: journal lines that could not be appended, stored on this machine until the next run merges them.

``spill.<first seq>.jsonl`` contains the lines of one append. For a local state it is beside the state, and written after the
append has failed. For any other backend it is in this machine's directory for the stack, written before each append and removed
after it, because the network or this machine may fail at any moment in between.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.local.disk import StateDisk
from pragmaspec.state.backends.local.durable import make_private_directory, replace_file
from pragmaspec.state.journal import JournalLine, Tail, decode_lines
from pragmaspec.state.journal_entries import JournalEntry

_NAME = re.compile(r"spill\.(\d+)\.jsonl")


class SpillFile(NamedTuple):
    """The path and the lines of a spill."""

    path: Path
    data: bytes


class MergedSpills(NamedTuple):
    """The entries that spills add to a journal, and its tail with them.

    ``merged`` are the spills whose lines are all in the journal now, so the next snapshot covers them. ``superseded`` are those
    that the journal does not continue with, because another run has continued it; that run has found their outcomes at the sites.
    """

    entries: tuple[JournalEntry, ...]
    tail: Tail
    merged: tuple[Path, ...] = ()
    superseded: tuple[Path, ...] = ()


class Spills:
    """The spills in ``folder``. ``write_ahead``: a spill is written before each append, not only after a failed one."""

    def __init__(self, disk: StateDisk, folder: Path, *, write_ahead: bool) -> None:
        self._disk = disk
        self._folder = folder
        self.write_ahead = write_ahead

    def read(self) -> tuple[SpillFile, ...]:
        """Return all spills, oldest first. Raises StateUnreadableError."""
        try:
            names = self._disk.listdir(self._folder)
            numbered = sorted((int(match[1]), name) for name in names if (match := _NAME.fullmatch(name)))
            return tuple(SpillFile(self._folder / name, self._disk.read(self._folder / name)) for _, name in numbered)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            detail = f"{error.filename or self._folder}: {error.strerror}. Nothing was changed."
            raise StateUnreadableError("The state cannot be read", detail) from error

    def write(self, lines: bytes, first_seq: int) -> Path:
        """Store ``lines`` durably and return the path. Raises OSError."""
        path = self._folder / f"spill.{first_seq}.jsonl"
        make_private_directory(self._folder, self._disk)
        replace_file(path, lines, disk=self._disk)
        return path

    def remove(self, path: Path) -> None:
        """Remove a spill whose lines have arrived. Failing to is no error: its digests identify the lines."""
        with suppress(OSError):
            self._disk.unlink(path)

    def set_aside(self, path: Path) -> None:
        """Rename a superseded spill, so that it is no longer read."""
        with suppress(OSError):
            self._disk.rename(path, path.with_suffix(".old"))


def merge_spills(spills: tuple[SpillFile, ...], lines: tuple[JournalLine, ...], start: Tail) -> MergedSpills:
    """Merge ``spills`` into a journal that consists of ``lines`` after ``start``.

    Raises StateUnreadableError for a damaged spill: it was written atomically, so no crash did that.
    """
    entries: list[JournalEntry] = []
    digests = {line.seq: line.sha256 for line in lines} | {start.seq: start.sha256}
    tail = Tail(seq=lines[-1].seq, sha256=lines[-1].sha256) if lines else start
    merged: list[Path] = []
    superseded: list[Path] = []
    for path, data in spills:
        spilled = decode_lines(data, str(path))
        if all(digests.get(line.seq) == line.sha256 for line in spilled if line.seq <= tail.seq):
            new = [line for line in spilled if line.seq > tail.seq]
            if not new or (new[0].seq, new[0].prev) == (tail.seq + 1, tail.sha256):
                entries += [line.entry for line in new]
                digests |= {line.seq: line.sha256 for line in new}
                tail = Tail(seq=new[-1].seq, sha256=new[-1].sha256) if new else tail
                merged.append(path)
                continue
        superseded.append(path)
    return MergedSpills(entries=tuple(entries), tail=tail, merged=tuple(merged), superseded=tuple(superseded))
