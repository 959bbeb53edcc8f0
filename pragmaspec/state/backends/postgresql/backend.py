"""State in a PostgreSQL database. The lock belongs to a session, and every write is made by that session.

A run that has lost the lock (its session has ended for any reason) therefore cannot write either: no other fence is needed, and
a session that ended is never replaced silently.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.base import Backend, LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info, locked_error, no_such_lock_error
from pragmaspec.state.backends.postgresql import tables
from pragmaspec.state.backends.postgresql.config import postgresql_config
from pragmaspec.state.backends.postgresql.locked import LockedPostgresqlBackend
from pragmaspec.state.backends.postgresql.session import (
    as_bytes,
    as_int,
    as_timestamp,
    configure_session,
    connect,
    durability_warnings,
    pooler_error,
    read_tables,
    require_psycopg,
    session_holds_lock,
    unreachable_error,
)
from pragmaspec.typing import override

if TYPE_CHECKING:
    from pragmaspec.state.backends.postgresql.tables import Session

_Result = TypeVar("_Result")
_LOCKED_ADVICE = (
    "Wait until that run has ended: its lock is freed as soon as its connection ends. If the connection hangs, "
    "`pragmaspec state unlock ID` ends it."
)


class PostgresqlBackend(Backend):
    """The state at ``url``: ``postgresql://host/database/name``. Raises UsageError for an invalid URL."""

    def __init__(self, url: str, retry: RetryPolicy | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._config = postgresql_config(url)
        self._retry = retry or RetryPolicy()
        self._environ = environ
        self._locked: LockedPostgresqlBackend | None = None

    @property
    @override
    def title(self) -> str:
        return self._config.title

    @override
    def warnings(self) -> tuple[str, ...]:
        return self._query(durability_warnings)

    @override
    def read(self) -> RawState:
        return self._query(lambda session: read_tables(session, self._config).raw)

    @override
    def lock(self, holder: LockHolder) -> LockedBackend:
        self._locked = self._lock(holder if holder.id else replace(holder, id=str(uuid4())))
        return self._locked

    @override
    def holder(self) -> LockHolder | None:
        found = self._query(self._find_lock)
        return None if found is None else found[1].holder

    @override
    def break_lock(self, lock_id: str) -> None:
        self._query(lambda session: self._terminate_holder(session, lock_id))

    @override
    def history(self) -> tuple[StateVersion, ...]:
        def query(session: "Session") -> tuple[StateVersion, ...]:
            if not tables.tables_exist(session, self._config):
                return ()
            rows = tables.execute(session, self._config, tables.VERSIONS, self._config.name, self._config.name).fetchall()
            return tuple(
                StateVersion(serial=as_int(row[0]), written=as_timestamp(row[1]), size_bytes=as_int(row[2])) for row in rows
            )

        return self._query(query)

    @override
    def version(self, serial: int) -> bytes:
        def query(session: "Session") -> bytes | None:
            if not tables.tables_exist(session, self._config):
                return None
            key = (self._config.name, serial)
            row = tables.execute(session, self._config, tables.VERSION, *key, *key).fetchone()
            return None if row is None else as_bytes(row[0])

        text = self._query(query)
        if text is None:
            raise UsageError(
                "There is no such version",
                f"{self.title} does not contain serial {serial}; the last {tables.HISTORY_KEPT} are kept.",
            )
        return text

    @override
    def remove(self) -> None:
        if self._locked is not None and not self._locked.released:
            self._locked.remove()
            return
        if not self._query(lambda session: tables.tables_exist(session, self._config)):
            return
        holder = LockHolder(pid=os.getpid(), user="", host="", since="", command="remove the state", id=str(uuid4()))
        locked = self._lock(holder)
        try:
            locked.remove()
        finally:
            locked.release()

    def _lock(self, holder: LockHolder) -> LockedPostgresqlBackend:
        """Take the lock in a session of its own. Creates the tables if they are missing."""
        require_psycopg()
        import psycopg  # noqa: PLC0415 - heavy

        for attempt in range(self._retry.tries):
            session = connect(self._config, self._retry, f"pragmaspec:{holder.id}", self._environ)
            try:
                other = self._take_lock(session, holder)
                if other is None:
                    return LockedPostgresqlBackend(session, self._config)
            except psycopg.Error as error:
                session.close()
                raise unreachable_error(self.title, error) from None
            except BaseException:
                session.close()
                raise
            session.close()
            if other.holder.id != holder.id:
                raise locked_error(self.title, other, _LOCKED_ADVICE)
            self._retry.wait(attempt)  # our earlier session, whose end the server has not noticed yet
        raise StateUnreachableError("The lock cannot be taken", f"{self.title}: the server ended each connection. Try again.")

    def _take_lock(self, session: "Session", holder: LockHolder) -> LockInfo | None:
        """Take the lock in ``session``; return its current holder if that is another session."""
        if error := pooler_error(session, self.title):
            raise error
        configure_session(session)
        tables.create_tables(session, self._config)
        if session.execute("SELECT pg_try_advisory_lock(%s)", (self._config.lock_key,)).fetchone() != (True,):
            found = self._find_lock(session)
            return found[1] if found else _UNKNOWN_HOLDER
        if not session_holds_lock(session, self._config):
            raise StateUnreachableError(
                "Connection pooler in front of the database",
                f"{self.title}: the lock just taken belongs to another session. Connect to the PostgreSQL server itself.",
            )
        tables.execute(session, self._config, tables.RECORD_HOLDER, self._config.name, encode_lock_info(holder))
        return None

    def _find_lock(self, session: "Session") -> tuple[int, LockInfo] | None:
        """Return the server process that holds the lock, and its holder."""
        if not tables.tables_exist(session, self._config):
            return None
        key = tables.lock_key_halves(self._config.lock_key)
        row = tables.execute(session, self._config, tables.LOCK_HOLDER, self._config.name, *key).fetchone()
        if row is None:
            return None
        return as_int(row[0]), decode_lock_info(as_bytes(row[1])) if row[1] is not None else _UNKNOWN_HOLDER

    def _terminate_holder(self, session: "Session", lock_id: str) -> None:
        """Terminate the session that holds the lock ``lock_id``. Raises UsageError if there is none."""
        found = self._find_lock(session)
        if found is None or found[1].holder.id != lock_id:
            raise no_such_lock_error(self.title, found[1].holder if found else None)
        for attempt in range(self._retry.tries):
            session.execute("SELECT pg_terminate_backend(%s)", (found[0],))
            current = self._find_lock(session)
            if current is None or current[0] != found[0]:
                return
            self._retry.wait(attempt)
        raise StateUnreachableError(
            "The lock cannot be broken",
            f"{self.title}: the server process {found[0]} does not end. Ask the administrator of the server.",
        )

    def _query(self, query: Callable[["Session"], _Result]) -> _Result:
        """Run ``query`` in a session of its own, again if the connection breaks. For idempotent queries only."""
        require_psycopg()
        import psycopg  # noqa: PLC0415 - heavy

        for attempt in range(self._retry.tries):
            with closing(connect(self._config, self._retry, "pragmaspec", self._environ)) as session:
                try:
                    return query(session)
                except psycopg.Error as error:
                    last = unreachable_error(self.title, error)
                    if not (session.closed or session.broken):
                        raise last from None
            self._retry.wait(attempt)
        raise last


_UNKNOWN_HOLDER = decode_lock_info(b"")
"""A holder that has not recorded itself yet, or that this role may not read."""
