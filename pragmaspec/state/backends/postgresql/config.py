"""Configuration of a state in PostgreSQL."""

from hashlib import sha256
from typing import NamedTuple
from urllib.parse import unquote

from pragmaspec.credentials import check_state_url, url_error
from pragmaspec.net.state_urls import parse_postgresql_state_url
from pragmaspec.net.urls import UrlError


class PostgresqlConfig(NamedTuple):
    """A database, and the name of the state in it.

    Empty fields are taken from PostgreSQL's own configuration (``PGHOST``, ``PGUSER``, …).
    """

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
        """The key of the state's advisory lock, made from schema and name: all locks of a database share one key space."""
        return self._advisory_key(self.name)

    @property
    def schema_lock_key(self) -> int:
        """The key of the advisory lock under which the tables are created."""
        return self._advisory_key("")

    def _advisory_key(self, name: str) -> int:
        digest = sha256(f"pragmaspec\0{self.schema}\0{name}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def postgresql_config(url: str) -> PostgresqlConfig:
    """Return the configuration for ``postgresql://[user@]host[:port]/database/name``. Raises UsageError.

    Options: ``?schema=`` (default ``pragmaspec``), ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``, and ``host`` for the
    directory of a Unix socket.
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
