"""A state in PostgreSQL whose lock this process holds: one session has the lock and makes every write."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from pragmaspec.errors import StateLockLostError, StateUnwritableError
from pragmaspec.state.backends.base import LockedBackend, RawState, WriteFence
from pragmaspec.state.backends.document import snapshot_header
from pragmaspec.state.backends.postgresql import tables
from pragmaspec.state.backends.postgresql.config import PostgresqlConfig
from pragmaspec.state.backends.postgresql.session import (
    TableContents,
    as_bytes,
    error_text,
    read_tables,
    session_holds_lock,
    sha256_hex,
    unreachable_error,
)
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.state.backends.postgresql.tables import Session


class _ChangedError(Exception):
    """The tables do not contain what was read or written last; rolls the transaction back."""


class LockedPostgresqlBackend(LockedBackend):
    """The state that ``config`` names; ``session`` holds its lock."""

    def __init__(self, session: "Session", config: PostgresqlConfig) -> None:
        self._session = session
        self._config = config
        self._known: TableContents | None = None
        """The contents last read or written."""
        self._journal_serial = 0
        self._fence = WriteFence(config.title)

    @property
    def released(self) -> bool:
        """True if the session has ended."""
        return self._session.closed

    @override
    def read(self) -> RawState:
        import psycopg  # noqa: PLC0415 - heavy

        try:
            self._known = read_tables(self._session, self._config)
        except psycopg.Error as error:
            raise unreachable_error(self._config.title, error) from None
        return self._known.raw

    @override
    def begin_journal(self, serial: int) -> None:
        self._journal_serial = serial

    @override
    def append(self, lines: bytes, first_seq: int, reserve_bytes: int) -> None:
        del reserve_bytes  # PostgreSQL cannot reserve space
        before = self._contents()
        if before.absent:
            raise self._fence.close(StateUnwritableError, "there is no snapshot that a journal could extend")
        if any(text.serial != self._journal_serial for text in before.raw.journals):
            raise self._fence.close(StateUnwritableError, "there are journal lines that no snapshot covers")
        added = self._transact(lambda: self._insert(lines, first_seq, before.lineage))
        self._known = before._replace(batches=before.batches + added)

    @override
    def write_snapshot(self, text: bytes, serial: int) -> None:
        before = self._contents()
        lineage = snapshot_header(text).lineage
        self._transact(lambda: self._replace(before, text, lineage, serial))
        self._known = TableContents(RawState(self._config.title, text), lineage, serial, sha256_hex(text))

    def remove(self) -> None:
        """Remove all rows of this state. The tables stay."""

        def delete() -> int:
            for statement in tables.REMOVE:
                tables.execute(self._session, self._config, statement, self._config.name)
            return 0

        self._transact(delete)
        self._known = None

    @override
    def release(self) -> None:
        import psycopg  # noqa: PLC0415 - heavy

        with suppress(psycopg.Error):
            if not self._session.closed:
                tables.execute(self._session, self._config, tables.REMOVE_HOLDER, self._config.name)
                self._session.execute("SELECT pg_advisory_unlock(%s)", (self._config.lock_key,))
        with suppress(psycopg.Error):
            self._session.close()

    def _contents(self) -> TableContents:
        self._fence.check()
        if self._known is None:
            self.read()
        return self._known or TableContents(RawState(self._config.title))

    def _insert(self, lines: bytes, first_seq: int, lineage: str) -> int:
        """Insert ``lines`` as one row; return the number of rows added: 0 if the same row exists already.

        A row with that number and other lines is that of another run.
        """
        key = (self._config.name, lineage, first_seq)
        added = tables.execute(self._session, self._config, tables.ADD_LINES, *key, self._journal_serial, lines).rowcount
        if not added:
            found = tables.execute(self._session, self._config, tables.LINES_AT, *key).fetchone()
            _check(found is not None and as_bytes(found[0]) == lines)
        return added

    def _replace(self, before: TableContents, text: bytes, lineage: str, serial: int) -> int:
        """Archive the snapshot in the history, replace it by ``text``, and remove the journal."""
        name, new = self._config.name, (lineage, serial, sha256_hex(text), text)
        if before.absent:
            changed = tables.execute(self._session, self._config, tables.FIRST_SNAPSHOT, name, *new).rowcount
        else:
            tables.execute(self._session, self._config, tables.ARCHIVE, name)
            old = (name, before.lineage, before.serial, before.sha256)
            changed = tables.execute(self._session, self._config, tables.NEXT_SNAPSHOT, *new, *old).rowcount
        removed = tables.execute(self._session, self._config, tables.REMOVE_JOURNAL, name).rowcount
        _check(changed == 1 and removed == before.batches)
        tables.execute(self._session, self._config, tables.PRUNE_HISTORY, name, name, tables.HISTORY_KEPT)
        return changed

    def _transact(self, change: Callable[[], int]) -> int:
        """Make ``change`` in one transaction, provided that this session holds the lock. Never uses another session."""
        import psycopg  # noqa: PLC0415 - heavy

        self._fence.check()
        try:
            with self._session.transaction():
                _check(session_holds_lock(self._session, self._config))
                return change()
        except _ChangedError:
            raise self._fence.close(StateLockLostError, "the state was changed after this run had read it") from None
        except psycopg.Error as error:
            if self._session.closed or self._session.broken:
                reason = f"the session that held the lock has ended ({error_text(error)})"
                raise self._fence.close(StateLockLostError, reason) from None
            raise self._fence.close(StateUnwritableError, error_text(error)) from None


def _check(unchanged: bool) -> None:
    if not unchanged:
        raise _ChangedError
