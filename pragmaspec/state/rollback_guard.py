"""Rollback detection: this machine remembers the newest serial that it has seen of each stack.

It is stored in ``$XDG_STATE_HOME/pragmaspec/<lineage>/high-water`` as one line: the serial, ``sealed`` or ``plain``, and the
first 16 digits of the SHA-256 of what precedes them. No file of the state itself can reveal a rollback: an old state is valid in
every other respect.
"""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.backends.local.disk import StateDisk
from pragmaspec.state.backends.local.durable import make_private_directory, replace_file


class LastSeen(NamedTuple):
    """The newest serial seen, and whether that state was encrypted."""

    serial: int
    encrypted: bool


class RollbackGuard:
    """The newest state that this machine has seen of the stack whose files are in ``folder``."""

    def __init__(self, disk: StateDisk, folder: Path) -> None:
        self._disk = disk
        self._path = folder / "high-water"

    def check(self, found: LastSeen, name: str, *, require_encrypted: bool) -> None:
        """Raise StateUnreadableError if ``found``, the state ``name``, is older than what was seen.

        With ``require_encrypted``, also if it was encrypted and no longer is.
        """
        seen = self.seen()
        if seen is None:
            return
        if found.serial < seen.serial:
            raise StateUnreadableError(
                "The state was rolled back",
                f"{name} has serial {found.serial}, but this machine has seen serial {seen.serial}: an older version was put "
                "back, perhaps by a git checkout or from a backup, or the state continued elsewhere after `pragmaspec state "
                "migrate`. Objects made since then would be forgotten. If the state has moved, write its new location into "
                "`state:` of the spec, or name it with --state. Otherwise `pragmaspec state history` lists the versions that are "
                f"kept, and `pragmaspec state restore {seen.serial}` restores the newest. If the older one is intended, use "
                "--accept-rollback: the plan then shows which objects at the sites carry the marks of this stack. Nothing was "
                "changed.",
            )
        if require_encrypted and seen.encrypted and not found.encrypted:
            raise StateUnreadableError(
                "The state is no longer encrypted",
                f"{name} was encrypted when this machine last saw it and is no longer, although the spec asks for encryption: it "
                "may have been replaced. If this is intended, use --accept-rollback; the next change then encrypts it again. "
                "Nothing was changed.",
            )

    def record(self, found: LastSeen) -> None:
        """Remember ``found`` if it is newer. Failing to is no error: the machine is then like a new one."""
        with suppress(StateUnreadableError, OSError):
            seen = self.seen()
            if seen is None or found.serial > seen.serial or (found.serial == seen.serial and found.encrypted != seen.encrypted):
                self._write(found)

    def accept(self, found: LastSeen) -> None:
        """Remember ``found`` as the newest state, whatever was seen before."""
        with suppress(OSError):
            self._write(found)

    def forget(self) -> None:
        """Forget the stack."""
        with suppress(OSError):
            self._disk.unlink(self._path)
            self._disk.rmdir(self._path.parent)

    def seen(self) -> LastSeen | None:
        """Return the newest state seen, if any. Raises StateUnreadableError."""
        try:
            text = self._disk.read(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StateUnreadableError(
                "The rollback guard cannot be read", f"{self._path}: {error.strerror}. Nothing was changed."
            ) from error
        words = text.split()
        if len(words) != 3 or _line(words[0], words[1]) != text or not words[0].isdigit():  # noqa: PLR2004 - as _line writes it
            raise StateUnreadableError(
                "The rollback guard is damaged",
                f"{self._path} should contain the serial of the newest state seen on this machine, and does not. "
                "--accept-rollback writes it again from the current state. Nothing was changed.",
            )
        return LastSeen(serial=int(words[0]), encrypted=words[1] == b"sealed")

    def _write(self, seen: LastSeen) -> None:
        make_private_directory(self._path.parent, self._disk)
        line = _line(b"%d" % seen.serial, b"sealed" if seen.encrypted else b"plain")
        replace_file(self._path, line, disk=self._disk)


def _line(serial: bytes, kind: bytes) -> bytes:
    body = b"%s %s" % (serial, kind)
    return b"%s %s\n" % (body, sha256(body).hexdigest()[:16].encode())
