"""A PostgreSQL session: connection, settings, hold of the lock, and the content of the tables."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from pragmaspec.credentials import CREDENTIAL_SOURCES
from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.urls import is_loopback
from pragmaspec.paths import home
from pragmaspec.state.backends.base import JournalText, RawState
from pragmaspec.state.backends.postgresql import tables
from pragmaspec.state.backends.postgresql.config import PostgresqlConfig

if TYPE_CHECKING:
    from psycopg import Error

    from pragmaspec.state.backends.postgresql.tables import Session

_SESSION_TIMEOUT_SINCE = 140000
_SYSTEM_CA_LIBPQ = 160000
_PERMANENT = ("authentication", "password", "does not exist", "certificate", "SSL", "pg_hba", "permission", "service")
"""Words in the message of an error that another attempt would not change."""
_SETTINGS = (
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "0"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
)
_ASYNCHRONOUS_COMMITS = frozenset({"off", "local"})


def require_psycopg() -> None:
    """Raise UsageError if psycopg, or the libpq that it needs, is not installed."""
    try:
        import psycopg  # noqa: F401, PLC0415 - heavy, and optional
    except ImportError:
        raise UsageError(
            "States in PostgreSQL need psycopg",
            "It is not installed here. Install it with: pip install 'psycopg[binary]>=3.2'",
        ) from None


def connect(config: PostgresqlConfig, retry: RetryPolicy, application: str, environ: Mapping[str, str] = os.environ) -> "Session":
    """Open a session with autocommit. Retries while the server does not respond, since nothing was sent yet.

    Raises StateUnreachableError, and UsageError without psycopg.
    """
    require_psycopg()
    import psycopg  # noqa: PLC0415 - heavy
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    options = connection_options(config, retry, environ, psycopg.pq.version()) | {"application_name": application}
    for attempt in range(retry.tries):
        try:
            return psycopg.connect(make_conninfo(**options), autocommit=True)
        except psycopg.Error as error:
            message = _one_line(error)
        if any(word in message for word in _PERMANENT):
            break
        retry.wait(attempt)
    source = f" The password is taken from {CREDENTIAL_SOURCES['postgresql']}." if "password" in message else ""
    raise StateUnreachableError(
        "The state cannot be reached", f"{config.title}: {message}.{source} Check the address and the permissions."
    )


class TableContents(NamedTuple):
    """The content of the tables at one moment; ``lineage``, ``serial`` and ``sha256`` are those of the snapshot."""

    raw: RawState
    lineage: str = ""
    serial: int = -1
    sha256: str = ""
    batches: int = 0

    @property
    def absent(self) -> bool:
        """True if there is no snapshot."""
        return self.raw.snapshot is None


def read_tables(session: "Session", config: PostgresqlConfig) -> TableContents:
    """Return snapshot and journal of one moment; creates no tables. Raises psycopg.Error."""
    if not tables.tables_exist(session, config):
        return TableContents(RawState(config.title))
    with session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = tables.execute(session, config, tables.SNAPSHOT, config.name).fetchone()
        batches = tables.execute(session, config, tables.JOURNAL, config.name).fetchall()
    journals: dict[int, list[bytes]] = {}
    for extends, lines in batches:
        journals.setdefault(as_int(extends), []).append(as_bytes(lines))
    texts = tuple(JournalText(serial, f"{config.title} (journal)", b"".join(parts)) for serial, parts in journals.items())
    if found is None:
        return TableContents(RawState(config.title, None, texts), batches=len(batches))
    lineage, serial, digest, doc, _ = found
    raw = RawState(config.title, as_bytes(doc), texts)
    return TableContents(raw, str(lineage), as_int(serial), str(digest), len(batches))


def configure_session(session: "Session") -> None:
    """Set the session's parameters: no idle timeout, bounded waits, synchronous commits."""
    for name, value in _SETTINGS:
        session.execute("SELECT set_config(%s, %s, false)", (name, value))
    if session.info.server_version >= _SESSION_TIMEOUT_SINCE:
        session.execute("SELECT set_config('idle_session_timeout', '0', false)")
    if setting(session, "synchronous_commit") in _ASYNCHRONOUS_COMMITS:
        session.execute("SELECT set_config('synchronous_commit', 'on', false)")


def durability_warnings(session: "Session") -> tuple[str, ...]:
    """Return the settings that make this server unsafe for a state, in full sentences."""
    return tuple(
        f"The PostgreSQL server runs with {name} = off: a power cut can lose or damage the state."
        for name in ("fsync", "full_page_writes")
        if setting(session, name) == "off"
    )


def setting(session: "Session", name: str) -> str:
    """Return the value of a server setting."""
    found = session.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(found[0]) if found else ""


def session_holds_lock(session: "Session", config: PostgresqlConfig) -> bool:
    """True if this very session holds the lock: the responding process is ours, and the lock is its own."""
    found = session.execute(tables.SESSION_HOLDS_LOCK, tables.lock_key_halves(config.lock_key)).fetchone()
    return found is not None and as_int(found[0]) == session.info.backend_pid and as_int(found[1]) == 1


def pooler_error(session: "Session", title: str) -> StateUnreachableError | None:
    """Return an error if a connection pooler is in between: the responding process is not the one connected to.

    Behind a pooler, a session lock stays with a connection that is passed on to other clients.
    """
    responding = session.execute("SELECT pg_backend_pid()").fetchone()
    if responding is not None and as_int(responding[0]) == session.info.backend_pid:
        return None
    return StateUnreachableError(
        "Connection pooler in front of the database",
        f"{title}: the process that responds is not the one connected to, as with PgBouncer. A lock would stay with a connection "
        "that is passed on to other clients. Connect to the PostgreSQL server itself (usually port 5432). Nothing was changed.",
    )


def unreachable_error(title: str, error: "Error") -> StateUnreachableError:
    """Return the error for a statement that failed."""
    return StateUnreachableError(
        "The state cannot be reached", f"{title}: {error_text(error)}. Check the server and the privileges of the role."
    )


def error_text(error: "Error") -> str:
    """Return the server's message on one line, without the details, which may quote data."""
    message = error.diag.message_primary or str(error)
    return "; ".join(line.strip() for line in message.splitlines() if line.strip())[:400].rstrip(".")


def as_int(value: object) -> int:
    """Return the value of an integer column."""
    return int(str(value))


def as_bytes(value: object) -> bytes:
    """Return the value of a bytea column."""
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def as_timestamp(value: object) -> str:
    """Return the value of a timestamptz column as RFC 3339, UTC."""
    return value.astimezone(UTC).isoformat(timespec="seconds") if isinstance(value, datetime) else ""


def sha256_hex(text: bytes) -> str:
    """Return the SHA-256 of ``text`` in hexadecimal."""
    return sha256(text).hexdigest()


def connection_options(config: PostgresqlConfig, retry: RetryPolicy, environ: Mapping[str, str], libpq: int) -> dict[str, str]:
    """Return the connection parameters of libpq. Both ends detect a dead connection within a minute."""
    options = {
        "dbname": config.database,
        "host": config.host,
        "port": config.port,
        "user": config.user,
        "password": environ.get("PGPASSWORD", ""),
        "connect_timeout": str(max(2, round(retry.connect_timeout_s))),
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": str(round(retry.read_timeout_s * 1000)),
        "client_encoding": "UTF8",
        **dict(config.ssl),
    }
    host = config.host or environ.get("PGHOST", "")
    local = not host or host.startswith("/") or is_loopback(host)
    if not local and "sslmode" not in options and not environ.get("PGSSLMODE"):
        options["sslmode"] = "verify-full"
        own_ca = environ.get("PGSSLROOTCERT") or (home() / ".postgresql" / "root.crt").exists()
        if not own_ca and "sslrootcert" not in options and libpq >= _SYSTEM_CA_LIBPQ:
            options["sslrootcert"] = "system"
    return {key: value for key, value in options.items() if value}


def _one_line(error: Exception) -> str:
    """Return the message of libpq, which never contains a password, on one line."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())[:400].rstrip(".")
