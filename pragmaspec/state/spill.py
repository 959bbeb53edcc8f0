"""Journal lines that could not be written where they belong, kept on this machine until the next run takes them in.

``spill.<first seq>.jsonl`` holds the very lines of one append. They stand beside the state when that is a local folder, and are
written after the append has failed; for a state elsewhere they stand in this machine's memory of the stack, and are written
before the append and removed after it: the machine may lose its network, or its life, at any moment in between.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.local.disk import Disk
from pragmaspec.state.backends.local.durable import make_private_directory, replace_file
from pragmaspec.state.journal import JournalLine, Tail, decode_lines
from pragmaspec.state.journal_entries import JournalEntry

_NAME = re.compile(r"spill\.(\d+)\.jsonl")


class SpillFile(NamedTuple):
    """A spill as it stands: the path, for errors and to remove it, and its lines."""

    path: Path
    data: bytes


class MergedSpills(NamedTuple):
    """What spills add to a journal: the entries that it lacks, and where it ends with them.

    ``taken``: every line of these is in the journal now, so the next snapshot covers them. ``passed``: the journal went another
    way without these, because somebody else went on from it; what they say was found out at the sites since.
    """

    entries: tuple[JournalEntry, ...]
    tail: Tail
    taken: tuple[Path, ...] = ()
    passed: tuple[Path, ...] = ()


class Spills:
    """The spills in ``folder``. ``beforehand``: a spill is written before each append, not after one that failed."""

    def __init__(self, disk: Disk, folder: Path, *, beforehand: bool) -> None:
        self._disk = disk
        self._folder = folder
        self.beforehand = beforehand

    def found(self) -> tuple[SpillFile, ...]:
        """Every spill, oldest first. Raises StateUnreadableError."""
        try:
            names = self._disk.listdir(self._folder)
            numbered = sorted((int(match[1]), name) for name in names if (match := _NAME.fullmatch(name)))
            return tuple(SpillFile(self._folder / name, self._disk.read(self._folder / name)) for _, name in numbered)
        except (FileNotFoundError, NotADirectoryError):
            return ()
        except OSError as error:
            raise StateUnreadableError(
                "The state cannot be read", f"{error.filename or self._folder}: {error.strerror}. Nothing was changed."
            ) from error

    def keep(self, lines: bytes, first_seq: int) -> Path:
        """Keep ``lines`` durably, and say where. Raises OSError."""
        path = self._folder / f"spill.{first_seq}.jsonl"
        make_private_directory(self._folder, self._disk)
        replace_file(path, lines, disk=self._disk)
        return path

    def drop(self, path: Path) -> None:
        """Remove a spill whose lines have arrived. One that stays is recognised by its digests, so failing is no error."""
        with suppress(OSError):
            self._disk.unlink(path)

    def set_aside(self, path: Path) -> None:
        """Keep a spill that is of no use any more under a name that nobody reads."""
        with suppress(OSError):
            self._disk.rename(path, path.with_suffix(".old"))


def merge_spills(spills: tuple[SpillFile, ...], links: tuple[JournalLine, ...], start: Tail) -> MergedSpills:
    """What ``spills`` add to a journal whose lines are ``links`` (after ``start``).

    Raises StateUnreadableError for a spill that is damaged: it was written atomically, so no crash did that.
    """
    entries: list[JournalEntry] = []
    digests = {link.seq: link.sha256 for link in links} | {start.seq: start.sha256}
    tail = Tail(seq=links[-1].seq, sha256=links[-1].sha256) if links else start
    taken: list[Path] = []
    passed: list[Path] = []
    for path, data in spills:
        lines = decode_lines(data, str(path))
        if all(digests.get(line.seq) == line.sha256 for line in lines if line.seq <= tail.seq):
            fresh = [line for line in lines if line.seq > tail.seq]
            if not fresh or (fresh[0].seq, fresh[0].prev) == (tail.seq + 1, tail.sha256):
                entries += [line.entry for line in fresh]
                digests |= {line.seq: line.sha256 for line in fresh}
                tail = Tail(seq=fresh[-1].seq, sha256=fresh[-1].sha256) if fresh else tail
                taken.append(path)
                continue
        passed.append(path)
    return MergedSpills(entries=tuple(entries), tail=tail, taken=tuple(taken), passed=tuple(passed))
