"""The tables of states in PostgreSQL, and every statement on them.

::

    states   name → lineage, serial, sha256 and doc (the text of state.json, UTF-8) of the current snapshot
    journal  name, lineage, seq (of the first line) → lines; extends: the serial of the snapshot that they follow
    history  name, serial → doc: the last 50 snapshots that were replaced
    locks    name → holder of the advisory lock, for display; the lock itself is in the memory of the server

In psql, ``convert_from(doc, 'UTF8')`` displays a document.
"""

from typing import TYPE_CHECKING, LiteralString

from pragmaspec.state.backends.postgresql.config import PostgresqlConfig

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

    Session = Connection[tuple[object, ...]]
    Rows = Cursor[tuple[object, ...]]

HISTORY_KEPT = 50
_TABLES = ("states", "journal", "history", "locks")

_SCHEMA: LiteralString = "CREATE SCHEMA {schema}"
_STATES: LiteralString = (
    "CREATE TABLE IF NOT EXISTS {schema}.states (name text PRIMARY KEY, lineage text NOT NULL, serial bigint NOT NULL, "
    "sha256 text NOT NULL, doc bytea NOT NULL, written timestamptz NOT NULL DEFAULT now())"
)
_JOURNAL: LiteralString = (
    "CREATE TABLE IF NOT EXISTS {schema}.journal (name text, lineage text, seq bigint, extends bigint NOT NULL, "
    "lines bytea NOT NULL, PRIMARY KEY (name, lineage, seq))"
)
_HISTORY: LiteralString = (
    "CREATE TABLE IF NOT EXISTS {schema}.history (name text, serial bigint, doc bytea NOT NULL, written timestamptz NOT NULL, "
    "PRIMARY KEY (name, serial))"
)
_LOCKS: LiteralString = (
    "CREATE TABLE IF NOT EXISTS {schema}.locks (name text PRIMARY KEY, pid integer NOT NULL, holder bytea NOT NULL)"
)

SNAPSHOT: LiteralString = "SELECT lineage, serial, sha256, doc, written FROM {schema}.states WHERE name = %s"
JOURNAL: LiteralString = "SELECT extends, lines FROM {schema}.journal WHERE name = %s ORDER BY extends, seq"
LINES_AT: LiteralString = "SELECT lines FROM {schema}.journal WHERE name = %s AND lineage = %s AND seq = %s"
ADD_LINES: LiteralString = (
    "INSERT INTO {schema}.journal (name, lineage, seq, extends, lines) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
FIRST_SNAPSHOT: LiteralString = (
    "INSERT INTO {schema}.states (name, lineage, serial, sha256, doc) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
ARCHIVE: LiteralString = (
    "INSERT INTO {schema}.history (name, serial, doc, written) SELECT name, serial, doc, written FROM {schema}.states "
    "WHERE name = %s ON CONFLICT (name, serial) DO UPDATE SET doc = excluded.doc, written = excluded.written"
)
NEXT_SNAPSHOT: LiteralString = (
    "UPDATE {schema}.states SET lineage = %s, serial = %s, sha256 = %s, doc = %s, written = now() "
    "WHERE name = %s AND lineage = %s AND serial = %s AND sha256 = %s"
)
REMOVE_JOURNAL: LiteralString = "DELETE FROM {schema}.journal WHERE name = %s"
PRUNE_HISTORY: LiteralString = (
    "DELETE FROM {schema}.history WHERE name = %s AND serial NOT IN "
    "(SELECT serial FROM {schema}.history WHERE name = %s ORDER BY serial DESC LIMIT %s)"
)
VERSIONS: LiteralString = (
    "SELECT serial, written, length(doc) FROM {schema}.states WHERE name = %s UNION ALL "
    "SELECT serial, written, length(doc) FROM {schema}.history h WHERE name = %s AND NOT EXISTS "
    "(SELECT FROM {schema}.states s WHERE s.name = h.name AND s.serial = h.serial) ORDER BY 1 DESC"
)
VERSION: LiteralString = (
    "SELECT doc FROM {schema}.states WHERE name = %s AND serial = %s UNION ALL "
    "SELECT doc FROM {schema}.history WHERE name = %s AND serial = %s"
)
RECORD_HOLDER: LiteralString = (
    "INSERT INTO {schema}.locks (name, pid, holder) VALUES (%s, pg_backend_pid(), %s) "
    "ON CONFLICT (name) DO UPDATE SET pid = excluded.pid, holder = excluded.holder"
)
REMOVE_HOLDER: LiteralString = "DELETE FROM {schema}.locks WHERE name = %s AND pid = pg_backend_pid()"
REMOVE: tuple[LiteralString, ...] = (
    "DELETE FROM {schema}.states WHERE name = %s",
    "DELETE FROM {schema}.journal WHERE name = %s",
    "DELETE FROM {schema}.history WHERE name = %s",
)
LOCK_HOLDER: LiteralString = (
    "SELECT l.pid, k.holder FROM pg_locks l LEFT JOIN {schema}.locks k ON k.name = %s AND k.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = %s AND l.objid::bigint = %s "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
SESSION_HOLDS_LOCK: LiteralString = (
    "SELECT pg_backend_pid(), count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
    "AND objsubid = 1 AND classid::bigint = %s AND objid::bigint = %s"
)


def execute(session: "Session", config: PostgresqlConfig, statement: LiteralString, *values: object) -> "Rows":
    """Execute ``statement`` in the schema of ``config``, with ``values`` bound."""
    from psycopg.sql import SQL, Identifier  # noqa: PLC0415 - heavy

    return session.execute(SQL(statement).format(schema=Identifier(config.schema)), values)


def lock_key_halves(key: int) -> tuple[int, int]:
    """Return upper and lower 32 bits of the advisory lock ``key``, as ``pg_locks`` shows it."""
    return (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF


def tables_exist(session: "Session", config: PostgresqlConfig) -> bool:
    """True if all tables exist."""
    found = session.execute(
        "SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename = ANY(%s)", (config.schema, list(_TABLES))
    ).fetchone()
    return found == (len(_TABLES),)


def create_tables(session: "Session", config: PostgresqlConfig) -> None:
    """Create the missing tables, under a lock of its own: two runs may do this at the same time."""
    if tables_exist(session, config):
        return
    with session.transaction():
        session.execute("SELECT pg_advisory_xact_lock(%s)", (config.schema_lock_key,))
        # For an existing schema the role need not have the privilege to create one.
        exists = session.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", (config.schema,)).fetchone() == (1,)
        for statement in (*(() if exists else (_SCHEMA,)), _STATES, _JOURNAL, _HISTORY, _LOCKS):
            execute(session, config, statement)
