"""Recorded state in a local folder: ``state.json``, the journal since, old snapshots, and the lock."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pragmaspec.errors import PragmaspecError, Problem, StateUnreadableError
from pragmaspec.recorded import State
from pragmaspec.store.durable import private_directory, replace_file, sync_directory, unwritable
from pragmaspec.store.entry import Begin, Ledger
from pragmaspec.store.journal import Journal, Tail, decode_journal, last_line
from pragmaspec.store.lock import held
from pragmaspec.store.session import Loaded, StoreSession
from pragmaspec.store.snapshot import Snapshot, decode_snapshot, encode_snapshot

BACKUPS_KEPT = 10

_JOURNAL_NAME = re.compile(r"journal\.(\d+)\.jsonl")


class LocalStore:
    """The state of one stack, in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def file(self) -> Path:
        """The snapshot."""
        return self.directory / "state.json"

    def exists(self) -> bool:
        """Whether a state has been recorded here."""
        return self.file.exists()

    def read(self) -> State:
        """The recorded state, with what the journal says since the snapshot.

        Needs no lock and creates nothing. An absent state is an empty one with a new lineage. Raises StateUnreadableError for
        one that is there and cannot be read.
        """
        return self.load().ledger.state

    def create(self, lineage: str | None = None) -> State:
        """Record an empty state with ``lineage`` (default: a new one). Raises PragmaspecError when there is a state already."""
        self._make_directory()
        with held(self.directory / ".lock", "create a state"):
            if self.exists() or self._journals():
                raise PragmaspecError(
                    Problem(summary="There is a state already", detail=f"{self.file} exists. Nothing was changed.")
                )
            state = State(lineage=lineage or _new_lineage())
            self.write_snapshot(Snapshot(state=state))
        return state

    @contextmanager
    def session(self, command: str, lineage: str | None = None) -> Iterator[StoreSession]:
        """Hold the lock and record what is done, for the time of the ``with`` block.

        ``command`` is what others are shown meanwhile; ``lineage`` is used when there is no state yet. Raises StateLockedError
        and StateUnreadableError. Writes nothing before the first intent, except the lock.
        """
        self._make_directory()
        with held(self.directory / ".lock", command):
            session = StoreSession(self, self.load(lineage))
            try:
                yield session
            finally:
                session.close()

    def load(self, lineage: str | None = None) -> Loaded:
        """Snapshot and journal as they are on disk. ``lineage`` is used when there is neither."""
        for _ in range(5):
            before = _stamp(self.file)
            try:
                loaded = self._load(lineage)
            except FileNotFoundError:
                continue  # a journal was removed between listing and reading
            except StateUnreadableError:
                if _stamp(self.file) == before:
                    raise
                continue
            if _stamp(self.file) == before:
                return loaded
        raise StateUnreadableError(
            Problem(
                summary="The state keeps changing",
                detail=f"{self.file} was replaced by another run each time it was read. Try again when that run has ended.",
            )
        )

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """Replace ``state.json``, keeping the old one as a backup, and remove the journals that it now covers. Raises OSError."""
        text = encode_snapshot(snapshot)
        self._back_up(snapshot.state.serial - 1)
        replace_file(self.file, text)
        for path in self._journals().values():
            path.unlink()
        sync_directory(self.directory)

    def journal_path(self, serial: int) -> Path:
        """The journal that extends snapshot number ``serial``."""
        return self.directory / f"journal.{serial}.jsonl"

    def _make_directory(self) -> None:
        try:
            private_directory(self.directory)
        except OSError as error:
            raise unwritable(self.directory, error) from error

    def _journals(self) -> dict[int, Path]:
        """Journals by the serial of the snapshot they extend."""
        try:
            names = [path.name for path in self.directory.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        found = {int(match[1]): self.directory / name for name in names if (match := _JOURNAL_NAME.fullmatch(name))}
        return dict(sorted(found.items()))

    def _load(self, lineage: str | None) -> Loaded:
        journals = self._journals()
        try:
            data = self.file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if journals:
                raise _without_snapshot(self.file, journals) from None
            return Loaded(Ledger(State(lineage=lineage or _new_lineage())), Tail(), on_disk=False, unfinished=False)
        except OSError as error:
            raise StateUnreadableError(
                Problem(summary="The state cannot be read", detail=f"{self.file}: {error.strerror}.")
            ) from error
        snapshot = decode_snapshot(data, str(self.file))
        applied = Tail(seq=snapshot.applied_seq, sha256=snapshot.applied_sha256)
        ledger = Ledger(snapshot.state)
        tail = applied
        for serial, path in journals.items():
            if serial == snapshot.state.serial:
                journal = decode_journal(path.read_bytes(), str(path), applied)
                _replay(ledger, journal, path)
                tail = journal.tail
            else:
                _check_covered(path, serial, snapshot)
        return Loaded(ledger, tail, on_disk=True, unfinished=bool(journals))

    def _back_up(self, serial: int) -> None:
        """Keep the snapshot number ``serial``, which is about to be replaced."""
        if not self.exists():
            return
        folder = self.directory / "backups"
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            os.link(self.file, folder / f"state.{serial}.json")
        kept = sorted(folder.glob("state.*.json"), key=_backup_serial)
        for path in kept[:-BACKUPS_KEPT]:
            path.unlink()


def _backup_serial(path: Path) -> int:
    serial = path.name.split(".")[1]
    return int(serial) if serial.isdecimal() else -1


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when the file is replaced."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (status.st_ino, status.st_mtime_ns)


def _new_lineage() -> str:
    from uuid import uuid4  # noqa: PLC0415 - costs 10 ms that only the first run of a stack need pay

    return str(uuid4())


def _replay(ledger: Ledger, journal: Journal, path: Path) -> None:
    """Apply what the journal says after the snapshot."""
    state = ledger.state
    try:
        for _, entry in journal.entries:
            if isinstance(entry, Begin) and (entry.lineage, entry.serial) != (state.lineage, state.serial):
                raise _foreign_journal(path)
            ledger.apply(entry)
    except KeyError:
        raise _foreign_journal(path) from None


def _check_covered(path: Path, serial: int, snapshot: Snapshot) -> None:
    """Raise unless the journal of another snapshot holds nothing that is missing in this one."""
    tail = last_line(path.read_bytes())
    if tail is None or (serial < snapshot.state.serial and tail.sha256 == snapshot.applied_sha256):
        return
    if serial > snapshot.state.serial:
        raise _unreadable(
            "The state was put back to an older version",
            f"state.json has serial {snapshot.state.serial}, but {path} goes on from serial {serial}: something (perhaps a git "
            f"checkout) replaced state.json. Put back the version with serial {serial}, from git or the folder `backups`. If the "
            f"older version is meant, move {path} away; then `pragmaspec plan` shows what the sites hold with its marks.",
        )
    raise _unreadable(
        "The state was replaced while a run was unfinished",
        f"{path} holds what a run of this machine did after serial {serial}, and state.json (serial {snapshot.state.serial}) "
        "does not know of it: it came from somewhere else, perhaps a git pull. Put back the version of state.json with serial "
        f"{serial}, run `pragmaspec apply` to finish, then merge; or move {path} away, and `pragmaspec plan` shows what the "
        "sites hold with this stack's marks.",
    )


def _without_snapshot(file: Path, journals: dict[int, Path]) -> StateUnreadableError:
    names = ", ".join(path.name for path in journals.values())
    return _unreadable(
        "The state file is missing",
        f"{file} is not there, but {names} beside it shows that it was. Put it back from git or from the folder `backups`.",
    )


def _foreign_journal(path: Path) -> StateUnreadableError:
    return _unreadable(
        "The journal belongs to another state",
        f"{path} does not go with the state.json beside it: one of them was copied from somewhere else. Put the two that belong "
        "together side by side again, or move the journal away.",
    )


def _unreadable(summary: str, detail: str) -> StateUnreadableError:
    return StateUnreadableError(Problem(summary=summary, detail=f"{detail} Nothing was changed."))
