"""The tables of states in PostgreSQL, and every statement on them.

::

    states   name → lineage, serial, sha256 and doc (the text of state.json, UTF-8) of the snapshot that stands
    journal  name, lineage, seq (of the first line) → lines; extends: the serial of the snapshot that they come after
    history  name, serial → doc: the last 50 snapshots that were replaced
    locks    name → who holds the advisory lock, for people; the lock itself is in the server's memory

``convert_from(doc, 'UTF8')`` shows a document in psql.
"""

from typing import TYPE_CHECKING, LiteralString

from pragmaspec.state.backends.postgresql.config import PostgresqlConfig

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

    Link = Connection[tuple[object, ...]]
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
KEEP: LiteralString = (
    "INSERT INTO {schema}.history (name, serial, doc, written) SELECT name, serial, doc, written FROM {schema}.states "
    "WHERE name = %s ON CONFLICT (name, serial) DO UPDATE SET doc = excluded.doc, written = excluded.written"
)
NEXT_SNAPSHOT: LiteralString = (
    "UPDATE {schema}.states SET lineage = %s, serial = %s, sha256 = %s, doc = %s, written = now() "
    "WHERE name = %s AND lineage = %s AND serial = %s AND sha256 = %s"
)
DROP_JOURNAL: LiteralString = "DELETE FROM {schema}.journal WHERE name = %s"
FORGET_OLD: LiteralString = (
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
NOTE_HOLDER: LiteralString = (
    "INSERT INTO {schema}.locks (name, pid, holder) VALUES (%s, pg_backend_pid(), %s) "
    "ON CONFLICT (name) DO UPDATE SET pid = excluded.pid, holder = excluded.holder"
)
DROP_HOLDER: LiteralString = "DELETE FROM {schema}.locks WHERE name = %s AND pid = pg_backend_pid()"
REMOVE: tuple[LiteralString, ...] = (
    "DELETE FROM {schema}.states WHERE name = %s",
    "DELETE FROM {schema}.journal WHERE name = %s",
    "DELETE FROM {schema}.history WHERE name = %s",
)
WHO_HOLDS: LiteralString = (
    "SELECT l.pid, k.holder FROM pg_locks l LEFT JOIN {schema}.locks k ON k.name = %s AND k.pid = l.pid "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = %s AND l.objid::bigint = %s "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
WE_HOLD: LiteralString = (
    "SELECT pg_backend_pid(), count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() "
    "AND objsubid = 1 AND classid::bigint = %s AND objid::bigint = %s"
)


def run(link: "Link", place: PostgresqlConfig, statement: LiteralString, *values: object) -> "Rows":
    """Execute ``statement`` with the schema's name in it, and ``values`` bound."""
    from psycopg.sql import SQL, Identifier  # noqa: PLC0415 - heavy

    return link.execute(SQL(statement).format(schema=Identifier(place.schema)), values)


def halves(key: int) -> tuple[int, int]:
    """How ``pg_locks`` shows the advisory lock ``key``: its upper and lower 32 bits."""
    return (key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF


def tables_exist(link: "Link", place: PostgresqlConfig) -> bool:
    """Whether all tables are there."""
    found = link.execute(
        "SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename = ANY(%s)", (place.schema, list(_TABLES))
    ).fetchone()
    return found == (len(_TABLES),)


def make_tables(link: "Link", place: PostgresqlConfig) -> None:
    """Make the tables that are missing; two runs at once do not get into each other's way."""
    if tables_exist(link, place):
        return
    with link.transaction():
        link.execute("SELECT pg_advisory_xact_lock(%s)", (place.schema_lock_key,))
        # Where the schema is there, the role need not have the right to make one.
        made = link.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", (place.schema,)).fetchone() == (1,)
        for statement in (*(() if made else (_SCHEMA,)), _STATES, _JOURNAL, _HISTORY, _LOCKS):
            run(link, place, statement)
