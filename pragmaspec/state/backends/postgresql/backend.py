"""State in a PostgreSQL database. The lock is one of the session, and every write goes through that session.

So whoever has lost the lock (its session has ended, whatever ended it) cannot write either: no other fence is needed, and a
session that ended is never replaced silently.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.base import LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.lock_info import LockInfo, decode_lock_info, encode_lock_info, locked_error
from pragmaspec.state.backends.postgresql import tables
from pragmaspec.state.backends.postgresql.config import connect, need_driver, postgresql_config
from pragmaspec.state.backends.postgresql.locked import LockedPostgresqlBackend
from pragmaspec.state.backends.postgresql.session import (
    configure_session,
    data,
    durability_warnings,
    holds_lock,
    moment,
    number,
    pooler_error,
    read_tables,
    unreachable_error,
)

if TYPE_CHECKING:
    from pragmaspec.state.backends.postgresql.tables import Link

_Result = TypeVar("_Result")
_WAY_OUT = (
    "Wait until that run has ended: its lock is freed as soon as its connection ends. If the connection hangs, "
    "`pragmaspec state unlock ID` ends it."
)


class PostgresqlBackend:
    """The state at ``url``: ``postgresql://host/database/name``. Raises UsageError for a URL that cannot be."""

    def __init__(self, url: str, patience: RetryPolicy | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._place = postgresql_config(url)
        self._patience = patience or RetryPolicy()
        self._environ = environ
        self._held: LockedPostgresqlBackend | None = None

    @property
    def title(self) -> str:
        """The URL without user and options."""
        return self._place.title

    def read(self) -> RawState:
        """Snapshot and journal of one moment. Makes no tables."""
        return self._look(lambda link: read_tables(link, self._place).stored)

    def warnings(self) -> tuple[str, ...]:
        """Settings of the server that make it unfit to keep a state."""
        return self._look(durability_warnings)

    def lock(self, holder: LockHolder) -> LockedBackend:
        """Take the lock in a session of its own. Makes the tables when they are missing."""
        holder = holder if holder.id else replace(holder, id=str(uuid4()))
        self._held = self._lock(holder)
        return self._held

    def holder(self) -> LockHolder | None:
        """Whoever's session has the lock."""
        found = self._look(self._who)
        return None if found is None else found[1].holder

    def break_lock(self, lock_id: str) -> None:
        """End the session that has the lock."""

        def broken(link: "Link") -> str:
            found = self._who(link)
            if found is None or found[1].holder.id != lock_id:
                return f"it is locked by ID {found[1].holder.id or '(not told)'}" if found else "it is not locked"
            for turn in range(self._patience.tries):
                link.execute("SELECT pg_terminate_backend(%s)", (found[0],))
                still = self._who(link)
                if still is None or still[0] != found[0]:
                    return ""
                self._patience.wait(turn)
            raise StateUnreachableError(
                "The lock cannot be taken away",
                f"{self.title}: the server process {found[0]} does not end. Ask who runs the server.",
            )

        if why := self._look(broken):
            raise UsageError("There is no such lock", f"{self.title}: {why}. Nothing was changed.")

    def history(self) -> tuple[StateVersion, ...]:
        """The last snapshots, from the table ``history``, and the one that stands."""

        def found(link: "Link") -> tuple[StateVersion, ...]:
            if not tables.tables_exist(link, self._place):
                return ()
            rows = tables.run(link, self._place, tables.VERSIONS, self._place.name, self._place.name).fetchall()
            return tuple(StateVersion(serial=number(row[0]), written=moment(row[1]), size_bytes=number(row[2])) for row in rows)

        return self._look(found)

    def version(self, serial: int) -> bytes:
        """From the table ``history``, or the one that stands."""

        def found(link: "Link") -> bytes | None:
            if not tables.tables_exist(link, self._place):
                return None
            key = (self._place.name, serial)
            row = tables.run(link, self._place, tables.VERSION, *key, *key).fetchone()
            return None if row is None else data(row[0])

        text = self._look(found)
        if text is None:
            raise UsageError(
                "There is no such version",
                f"{self.title} does not hold serial {serial}; the last {tables.HISTORY_KEPT} are kept.",
            )
        return text

    def remove(self) -> None:
        """Remove the rows of this state. The tables stay."""
        if self._held is not None and not self._held.released:
            self._held.remove()
            return
        if not self._look(lambda link: tables.tables_exist(link, self._place)):
            return
        held = self._lock(LockHolder(pid=os.getpid(), user="", host="", since="", command="remove the state", id=str(uuid4())))
        try:
            held.remove()
        finally:
            held.release()

    def _lock(self, holder: LockHolder) -> LockedPostgresqlBackend:
        need_driver()
        import psycopg  # noqa: PLC0415 - heavy

        for turn in range(self._patience.tries):
            link = connect(self._place, self._patience, f"pragmaspec:{holder.id}", self._environ)
            try:
                note = self._take(link, holder)
                if note is None:
                    return LockedPostgresqlBackend(link, self._place)
            except psycopg.Error as error:
                link.close()
                raise unreachable_error(self.title, error) from None
            except BaseException:
                link.close()
                raise
            link.close()
            if note.holder.id != holder.id:
                raise locked_error(self.title, note, _WAY_OUT)
            self._patience.wait(turn)  # a session of ours whose end the server has not noticed yet
        raise StateUnreachableError("The lock cannot be taken", f"{self.title}: the server cut each connection. Try again.")

    def _take(self, link: "Link", holder: LockHolder) -> LockInfo | None:
        """Take the lock in this session; who has it already, when it is somebody else's."""
        if error := pooler_error(link, self.title):
            raise error
        configure_session(link)
        tables.make_tables(link, self._place)
        if link.execute("SELECT pg_try_advisory_lock(%s)", (self._place.lock_key,)).fetchone() != (True,):
            found = self._who(link)
            return found[1] if found else _unknown()
        if not holds_lock(link, self._place):
            raise StateUnreachableError(
                "A connection pooler stands before the database",
                f"{self.title}: the lock that was just taken belongs to another session. Name the PostgreSQL server itself.",
            )
        tables.run(link, self._place, tables.NOTE_HOLDER, self._place.name, encode_lock_info(holder))
        return None

    def _who(self, link: "Link") -> tuple[int, LockInfo] | None:
        """The server process that has the lock, and what is noted of it."""
        if not tables.tables_exist(link, self._place):
            return None
        key = tables.halves(self._place.lock_key)
        row = tables.run(link, self._place, tables.WHO_HOLDS, self._place.name, *key).fetchone()
        if row is None:
            return None
        return number(row[0]), decode_lock_info(data(row[1])) if row[1] is not None else _unknown()

    def _look(self, question: Callable[["Link"], _Result]) -> _Result:
        """Ask in a session of its own, again when the connection breaks. Only for what may be done twice."""
        need_driver()
        import psycopg  # noqa: PLC0415 - heavy

        for turn in range(self._patience.tries):
            with closing(connect(self._place, self._patience, "pragmaspec", self._environ)) as link:
                try:
                    return question(link)
                except psycopg.Error as error:
                    last = unreachable_error(self.title, error)
                    if not (link.closed or link.broken):
                        raise last from None
            self._patience.wait(turn)
        raise last


def _unknown() -> LockInfo:
    """A holder that has not noted its name yet, or whose name may not be seen."""
    return decode_lock_info(b"")
