"""Where in PostgreSQL a state lives, and a connection to there."""

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from pragmaspec.credentials import CREDENTIAL_SOURCES, check_state_url, url_error
from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.state_urls import parse_postgresql_state_url
from pragmaspec.net.urls import UrlError, is_loopback
from pragmaspec.paths import home

if TYPE_CHECKING:
    from psycopg import Connection

_SYSTEM_CA_LIBPQ = 160000
_FINAL = ("authentication", "password", "does not exist", "certificate", "SSL", "pg_hba", "permission", "service")
"""Words of a refusal that another try does not change."""


class PostgresqlConfig(NamedTuple):
    """A database, and the name of the state in it. Empty: PostgreSQL's own places decide (``PGHOST``, ``PGUSER``, …)."""

    host: str
    port: str
    user: str
    database: str
    name: str
    schema: str = "pragmaspec"
    ssl: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The URL without user and options."""
        port = f":{self.port}" if self.port else ""
        host = "" if self.host.startswith("/") else self.host
        return f"postgresql://{host}{port}/{self.database}/{self.name}"

    @property
    def lock_key(self) -> int:
        """The number of the advisory lock: all locks of a database share one space, so schema and name are part of it."""
        return self._key(self.name)

    @property
    def schema_lock_key(self) -> int:
        """The number of the lock under which the tables are made."""
        return self._key("")

    def _key(self, name: str) -> int:
        digest = sha256(f"pragmaspec\0{self.schema}\0{name}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def postgresql_config(url: str) -> PostgresqlConfig:
    """The place that ``postgresql://[user@]host[:port]/database/name`` names. Raises UsageError.

    Options: ``?schema=`` (default ``pragmaspec``), ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``, and ``host`` for the
    folder of a Unix socket.
    """
    check_state_url(url)
    try:
        found = parse_postgresql_state_url(url)
    except UrlError as error:
        raise url_error(url, str(error)) from None
    options = found.options
    return PostgresqlConfig(
        host=options.get("host", found.url.host),
        port=str(found.url.port or ""),
        user=unquote(found.url.user or ""),
        database=found.database,
        name=found.name,
        schema=options.get("schema", "pragmaspec"),
        ssl=tuple((key, value) for key, value in options.items() if key.startswith("ssl")),
    )


def need_driver() -> None:
    """Raise UsageError when psycopg, or the libpq that it needs, is not installed."""
    try:
        import psycopg  # noqa: F401, PLC0415 - heavy, and only there when asked for
    except ImportError:
        raise UsageError(
            "States in PostgreSQL need psycopg", "It is not installed here. Install it with: pip install 'psycopg[binary]>=3.2'"
        ) from None


def connect(
    place: PostgresqlConfig, patience: RetryPolicy, application: str, environ: Mapping[str, str] = os.environ
) -> "Connection[tuple[object, ...]]":
    """A connection in which each statement is its own transaction unless one is begun.

    Tried again while the server does not answer: nothing was sent yet. Raises StateUnreachableError, and UsageError without
    psycopg.
    """
    need_driver()
    import psycopg  # noqa: PLC0415 - heavy
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    options = _options(place, patience, environ, psycopg.pq.version()) | {"application_name": application}
    for turn in range(patience.tries):
        try:
            return psycopg.connect(make_conninfo(**options), autocommit=True)
        except psycopg.Error as error:
            words = _one_line(error)
        if any(word in words for word in _FINAL):
            break
        patience.wait(turn)
    advice = f" The password is taken from {CREDENTIAL_SOURCES['postgresql']}." if "password" in words else ""
    raise StateUnreachableError(
        "The state cannot be reached", f"{place.title}: {words}.{advice} Check the address and the access."
    )


def _options(place: PostgresqlConfig, patience: RetryPolicy, environ: Mapping[str, str], libpq: int) -> dict[str, str]:
    """Connection parameters of libpq. A connection that is dead is noticed within a minute, at both ends."""
    options = {
        "dbname": place.database,
        "host": place.host,
        "port": place.port,
        "user": place.user,
        "password": environ.get("PGPASSWORD", ""),
        "connect_timeout": str(max(2, round(patience.connect_timeout_s))),
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": str(round(patience.read_timeout_s * 1000)),
        "client_encoding": "UTF8",
        **dict(place.ssl),
    }
    host = place.host or environ.get("PGHOST", "")
    here = not host or host.startswith("/") or is_loopback(host)
    if not here and "sslmode" not in options and not environ.get("PGSSLMODE"):
        options["sslmode"] = "verify-full"
        own = environ.get("PGSSLROOTCERT") or (home() / ".postgresql" / "root.crt").exists()
        if not own and "sslrootcert" not in options and libpq >= _SYSTEM_CA_LIBPQ:
            options["sslrootcert"] = "system"
    return {key: value for key, value in options.items() if value}


def _one_line(error: Exception) -> str:
    """What libpq says, which never holds a password, without its line breaks."""
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())[:400].rstrip(".")
