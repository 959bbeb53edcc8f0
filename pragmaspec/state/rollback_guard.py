"""What this machine remembers of each stack: the newest serial it has seen, so that a state that was put back is noticed.

The mark stands in ``$XDG_STATE_HOME/pragmaspec/<lineage>/high-water`` as one line: the serial, ``sealed`` or ``plain``, and the
first 16 digits of the SHA-256 of what is before them. It is a second guard, for what no file of the state itself can tell: an old
state is whole and right in every other respect.
"""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.local.disk import Disk
from pragmaspec.state.backends.local.durable import make_private_directory, replace_file


class LastSeen(NamedTuple):
    """The newest serial seen, and whether that state was encrypted."""

    serial: int
    sealed: bool


class RollbackGuard:
    """The mark of the stack whose folder on this machine is ``folder``."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._path = folder / "high-water"

    def check(self, found: LastSeen, name: str, *, must_be_sealed: bool) -> None:
        """Raise StateUnreadableError when the state ``name``, which is ``found``, is not one that may follow what was seen."""
        seen = self.seen()
        if seen is None:
            return
        if found.serial < seen.serial:
            raise _unreadable(
                "The state was rolled back",
                f"{name} has serial {found.serial}, but this machine has seen serial {seen.serial}: something put an older "
                "version back, perhaps a git checkout or a restored backup, or the state went on elsewhere after "
                "`pragmaspec state migrate`. What was made since would be forgotten. If it has moved, write its new place into "
                "the spec's `state:`, or name it with --state. Else `pragmaspec state history` shows what is kept, and "
                f"`pragmaspec state restore {seen.serial}` puts the newest back. If the older one is meant, use "
                "--accept-rollback: then the plan shows what the sites hold with this stack's marks.",
            )
        if must_be_sealed and seen.sealed and not found.sealed:
            raise _unreadable(
                "The state is no longer encrypted",
                f"{name} was encrypted when this machine last saw it, and now it is not, although the spec asks for it: somebody "
                "may have put another state in its place. If that was meant, use --accept-rollback, and it is encrypted again "
                "with the next change.",
            )

    def see(self, found: LastSeen) -> None:
        """Remember ``found`` if it is newer. A machine that cannot remember is no worse than a new one, so that is no error."""
        with suppress(StateUnreadableError, OSError):
            seen = self.seen()
            if seen is None or found.serial > seen.serial or (found.serial == seen.serial and found.sealed != seen.sealed):
                self._write(found)

    def accept(self, found: LastSeen) -> None:
        """Take ``found`` for the newest, whatever was seen before."""
        with suppress(OSError):
            self._write(found)

    def forget(self) -> None:
        """Remove the mark."""
        with suppress(OSError):
            self._disk.unlink(self._path)
            self._disk.rmdir(self._path.parent)

    def seen(self) -> LastSeen | None:
        """The newest state seen; None: none yet. Raises StateUnreadableError."""
        try:
            text = self._disk.read(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable("The memory of this machine cannot be read", f"{self._path}: {error.strerror}.") from error
        words = text.split()
        if len(words) != 3 or _text(words[0], words[1]) != text or not words[0].isdigit():  # noqa: PLR2004 - as _text writes it
            raise _unreadable(
                "The memory of this machine is damaged",
                f"{self._path} should say which serial of the state was seen last, and does not. --accept-rollback writes it "
                "anew from the state as it is now.",
            )
        return LastSeen(serial=int(words[0]), sealed=words[1] == b"sealed")

    def _write(self, mark: LastSeen) -> None:
        make_private_directory(self._path.parent, self._disk)
        replace_file(self._path, _text(b"%d" % mark.serial, b"sealed" if mark.sealed else b"plain"), disk=self._disk)


def _text(serial: bytes, kind: bytes) -> bytes:
    said = b"%s %s" % (serial, kind)
    return b"%s %s\n" % (said, sha256(said).hexdigest()[:16].encode())


def _unreadable(summary: str, detail: str) -> StateUnreadableError:
    return StateUnreadableError(summary, f"{detail} Nothing was changed.")
