"""A state in PostgreSQL whose lock this process holds: one session has the lock and makes every write."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pragmaspec.errors import StateLockLostError, StateUnwritableError
from pragmaspec.state.backends.base import RawState, WriteFence
from pragmaspec.state.backends.document import snapshot_header
from pragmaspec.state.backends.postgresql import tables
from pragmaspec.state.backends.postgresql.config import PostgresqlConfig
from pragmaspec.state.backends.postgresql.session import (
    TableContents,
    data,
    digest,
    error_text,
    holds_lock,
    read_tables,
    unreachable_error,
)

if TYPE_CHECKING:
    from pragmaspec.state.backends.postgresql.tables import Link


class _FencedOutError(Exception):
    """Something else stands there than was read or written last; rolls the transaction back."""


class LockedPostgresqlBackend:
    """Made by :meth:`pragmaspec.state.backends.postgresql.backend.PostgresqlBackend.lock`."""

    def __init__(self, link: "Link", place: PostgresqlConfig) -> None:
        self._link = link
        self._place = place
        self._seen: TableContents | None = None
        self._extends = 0
        self._ending = WriteFence(place.title)

    @property
    def released(self) -> bool:
        """Whether the session has ended."""
        return self._link.closed

    def read(self) -> RawState:
        """What stands there now."""
        import psycopg  # noqa: PLC0415 - heavy

        try:
            self._seen = read_tables(self._link, self._place)
        except psycopg.Error as error:
            raise unreachable_error(self._place.title, error) from None
        return self._seen.stored

    def begin_journal(self, serial: int) -> None:
        """Journal lines extend snapshot ``serial`` from now on. Writes nothing."""
        self._extends = serial

    def append(self, lines: bytes, first_seq: int, room_bytes: int) -> None:
        """Insert the lines as one row; a row with that number and other lines means that another run is here."""
        del room_bytes
        before = self._ready()
        if before.absent:
            raise self._ending.close(StateUnwritableError, "there is no snapshot that a journal could extend")
        if any(text.serial != self._extends for text in before.stored.journals):
            raise self._ending.close(StateUnwritableError, "there are journal lines that no snapshot covers")
        added = self._write(lambda: self._insert(lines, first_seq, before.lineage))
        self._seen = before._replace(batches=before.batches + added)

    def write_snapshot(self, text: bytes, serial: int) -> None:
        """Replace the snapshot, keep the old one in the history and drop the journal, in one transaction."""
        before = self._ready()
        head = snapshot_header(text)
        self._write(lambda: self._replace(before, text, head.lineage, serial))
        self._seen = TableContents(RawState(self._place.title, text), head.lineage, serial, digest(text))

    def remove(self) -> None:
        """Remove everything of this state."""

        def removed() -> int:
            for statement in tables.REMOVE:
                tables.run(self._link, self._place, statement, self._place.name)
            return 0

        self._write(removed)
        self._seen = None

    def release(self) -> None:
        """Give the lock back and end the session."""
        import psycopg  # noqa: PLC0415 - heavy

        with suppress(psycopg.Error):
            if not self._link.closed:
                tables.run(self._link, self._place, tables.DROP_HOLDER, self._place.name)
                self._link.execute("SELECT pg_advisory_unlock(%s)", (self._place.lock_key,))
        with suppress(psycopg.Error):
            self._link.close()

    def _ready(self) -> TableContents:
        self._ending.check()
        if self._seen is None:
            self.read()
        return self._seen or TableContents(RawState(self._place.title))

    def _insert(self, lines: bytes, first_seq: int, lineage: str) -> int:
        """How many rows were added: none when exactly these lines are there already."""
        key = (self._place.name, lineage, first_seq)
        added = tables.run(self._link, self._place, tables.ADD_LINES, *key, self._extends, lines).rowcount
        if not added:
            found = tables.run(self._link, self._place, tables.LINES_AT, *key).fetchone()
            _check(found is not None and data(found[0]) == lines)
        return added

    def _replace(self, before: TableContents, text: bytes, lineage: str, serial: int) -> int:
        name, new = self._place.name, (lineage, serial, digest(text), text)
        if before.absent:
            changed = tables.run(self._link, self._place, tables.FIRST_SNAPSHOT, name, *new).rowcount
        else:
            tables.run(self._link, self._place, tables.KEEP, name)
            old = (name, before.lineage, before.serial, before.sha256)
            changed = tables.run(self._link, self._place, tables.NEXT_SNAPSHOT, *new, *old).rowcount
        dropped = tables.run(self._link, self._place, tables.DROP_JOURNAL, name).rowcount
        _check(changed == 1 and dropped == before.batches)
        tables.run(self._link, self._place, tables.FORGET_OLD, name, name, tables.HISTORY_KEPT)
        return changed

    def _write(self, change: Callable[[], int]) -> int:
        """``change`` in one transaction, if this session still holds the lock. Never on another session."""
        import psycopg  # noqa: PLC0415 - heavy

        self._ending.check()
        try:
            with self._link.transaction():
                _check(holds_lock(self._link, self._place))
                return change()
        except _FencedOutError:
            raise self._ending.close(StateLockLostError, "something else was written there since this run read it") from None
        except psycopg.Error as error:
            if self._link.closed or self._link.broken:
                why = f"the session that held the lock has ended ({error_text(error)})"
                raise self._ending.close(StateLockLostError, why) from None
            raise self._ending.close(StateUnwritableError, error_text(error)) from None


def _check(sound: bool) -> None:
    if not sound:
        raise _FencedOutError
