"""One session with PostgreSQL: its settings, whether it holds the lock, and what stands in the tables."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from pragmaspec.errors import StateUnreachableError
from pragmaspec.state.backends.base import JournalText, RawState
from pragmaspec.state.backends.postgresql import tables
from pragmaspec.state.backends.postgresql.config import PostgresqlConfig

if TYPE_CHECKING:
    from psycopg import Error

    from pragmaspec.state.backends.postgresql.tables import Link

_SESSION_TIMEOUT_SINCE = 140000
_SETTINGS = (
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "0"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
)
_WEAK_COMMITS = frozenset({"off", "local"})


class TableContents(NamedTuple):
    """What stood in the tables at one moment; ``lineage``, ``serial`` and ``sha256`` are of the snapshot."""

    stored: RawState
    lineage: str = ""
    serial: int = -1
    sha256: str = ""
    batches: int = 0

    @property
    def absent(self) -> bool:
        """Whether there is no snapshot."""
        return self.stored.snapshot is None


def read_tables(link: "Link", place: PostgresqlConfig) -> TableContents:
    """Snapshot and journal of one moment. Raises psycopg.Error."""
    if not tables.tables_exist(link, place):
        return TableContents(RawState(place.title))
    with link.transaction():
        link.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = tables.run(link, place, tables.SNAPSHOT, place.name).fetchone()
        batches = tables.run(link, place, tables.JOURNAL, place.name).fetchall()
    journals: dict[int, list[bytes]] = {}
    for extends, lines in batches:
        journals.setdefault(number(extends), []).append(data(lines))
    texts = tuple(JournalText(serial, f"{place.title} (journal)", b"".join(parts)) for serial, parts in journals.items())
    if found is None:
        return TableContents(RawState(place.title, None, texts), batches=len(batches))
    lineage, serial, digest, doc, _ = found
    return TableContents(RawState(place.title, data(doc), texts), str(lineage), number(serial), str(digest), len(batches))


def configure_session(link: "Link") -> None:
    """Give the session its settings: it must not be ended for idling, nor wait for ever, nor commit without a sync."""
    for name, value in _SETTINGS:
        link.execute("SELECT set_config(%s, %s, false)", (name, value))
    if link.info.server_version >= _SESSION_TIMEOUT_SINCE:
        link.execute("SELECT set_config('idle_session_timeout', '0', false)")
    if setting(link, "synchronous_commit") in _WEAK_COMMITS:
        link.execute("SELECT set_config('synchronous_commit', 'on', false)")


def durability_warnings(link: "Link") -> tuple[str, ...]:
    """What makes this server unfit to keep a state, in sentences for a person."""
    return tuple(
        f"The PostgreSQL server runs with {name} = off: a power cut can lose or damage the state."
        for name in ("fsync", "full_page_writes")
        if setting(link, name) == "off"
    )


def setting(link: "Link", name: str) -> str:
    """The value of a server setting."""
    found = link.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(found[0]) if found else ""


def holds_lock(link: "Link", place: PostgresqlConfig) -> bool:
    """Whether this very session holds the lock: the process that answers is ours, and the lock is its own."""
    found = link.execute(tables.WE_HOLD, tables.halves(place.lock_key)).fetchone()
    return found is not None and number(found[0]) == link.info.backend_pid and number(found[1]) == 1


def pooler_error(link: "Link", title: str) -> StateUnreachableError | None:
    """The error when a pooler stands in between: what it told at the start is then not the process that answers.

    Behind one, a lock of a session stays with a connection that is handed to others.
    """
    answering = link.execute("SELECT pg_backend_pid()").fetchone()
    if answering is not None and number(answering[0]) == link.info.backend_pid:
        return None
    return StateUnreachableError(
        "A connection pooler stands before the database",
        f"{title}: another process answers than the one that was connected to, as with PgBouncer. A lock would stay "
        "with a connection that is handed to others. Name the PostgreSQL server itself (most often port 5432). Nothing was "
        "changed.",
    )


def unreachable_error(title: str, error: "Error") -> StateUnreachableError:
    """The error for a statement that failed."""
    return StateUnreachableError(
        "The state cannot be reached", f"{title}: {error_text(error)}. Check the server and the role's rights."
    )


def error_text(error: "Error") -> str:
    """What the server says, in one line; only its own sentence, since details may quote data."""
    said = error.diag.message_primary or str(error)
    return "; ".join(line.strip() for line in said.splitlines() if line.strip())[:400].rstrip(".")


def number(value: object) -> int:
    """An integer column."""
    return int(str(value))


def data(value: object) -> bytes:
    """A bytea column."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def moment(value: object) -> str:
    """A timestamptz column: RFC 3339, UTC."""
    return value.astimezone(UTC).isoformat(timespec="seconds") if isinstance(value, datetime) else ""


def digest(text: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return sha256(text).hexdigest()
