"""Broken connections, ended sessions, poolers and missing privileges."""

from itertools import count

import psycopg
import pytest

from pragmaspec.errors import StateLockLostError, StateUnreachableError, StateUnwritableError, UsageError
from pragmaspec.state.backends.postgresql.backend import PostgresqlBackend
from pragmaspec.state.backends.postgresql.config import postgresql_config
from tests.state.backends import postgresql_server
from tests.state.backends.cutting_proxy import CuttingProxy
from tests.state.backends.postgresql_server import DATABASE, ENVIRONMENT, PASSWORD, pgbouncer, raw_connection
from tests.state.backends.runs import STEPS, after, found, whole_run
from tests.state.backends.samples import FAST_RETRY, holder, lines, snapshot

_numbers = count(1)


@pytest.fixture(scope="module")
def port():
    with postgresql_server.postgresql_server() as one:
        yield one


@pytest.fixture
def name():
    return f"s{next(_numbers)}"


def _backend(port, name, options=""):
    return PostgresqlBackend(f"postgresql://anna@127.0.0.1:{port}/{DATABASE}/{name}{options}", FAST_RETRY, ENVIRONMENT)


@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_connection_broken_at_any_message_loses_nothing(port, answer_lost):
    with CuttingProxy(port) as proxy:
        assert whole_run(_backend(proxy.port, f"s{next(_numbers)}")).error is None
        pieces = proxy.sent
    stopped = 0
    for cut_at in range(pieces):
        name = f"s{next(_numbers)}"
        with CuttingProxy(port) as proxy:
            proxy.cut_at, proxy.answer_lost = cut_at, answer_lost
            run = whole_run(_backend(proxy.port, name))
        stopped += run.error is not None
        if run.begun:
            assert run.error is None or isinstance(run.error, StateLockLostError), run.error
        postgresql_server.wait_for(lambda name=name: _backend(port, name).holder() is None, "the end of the broken session")
        content = found(_backend(port, name).read())
        assert content in [after(steps) for steps in range(run.done, run.begun + 1)], (cut_at, run)
        assert run.done == len(STEPS) or run.error is not None
    assert stopped > pieces // 2
    assert whole_run(_backend(port, name), "two").error is None


def test_an_ended_session_is_a_lost_lock_and_is_not_replaced(port, name):
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    locked.begin_journal(1)
    with raw_connection(port) as other_session:
        other_session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pragmaspec:one'")
    for _ in range(2):
        with pytest.raises(StateLockLostError, match="the session that held the lock has ended"):
            locked.append(lines(1), 1, 0)
    locked.release()
    assert found(_backend(port, name).read()) == (snapshot(1), b"")


def test_a_lock_released_by_another_party_is_detected(port, name):
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    locked._session.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(StateLockLostError):
        locked.write_snapshot(snapshot(1), 1)
    locked.release()
    assert _backend(port, name).read().snapshot is None


@pytest.mark.parametrize("change", ["UPDATE pragmaspec.states SET sha256 = 'x'", "UPDATE pragmaspec.states SET serial = 9"])
def test_a_row_changed_by_another_party_is_not_overwritten(port, name, change):
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    with raw_connection(port) as other_session:
        other_session.execute(f"{change} WHERE name = %s", (name,))
    with pytest.raises(StateLockLostError, match="the state was changed"):
        locked.write_snapshot(snapshot(2), 2)
    locked.release()
    assert _backend(port, name).read().snapshot == snapshot(1)


def test_lines_of_another_run_fence_this_one_out(port, name):
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    locked.begin_journal(1)
    with raw_connection(port) as other_session:
        other_session.execute(
            "INSERT INTO pragmaspec.journal SELECT name, lineage, 1, 1, 'other' FROM pragmaspec.states WHERE name = %s", (name,)
        )
    with pytest.raises(StateLockLostError):
        locked.append(lines(1), 1, 0)
    locked.release()
    locked = _backend(port, name).lock(holder("two"))
    locked.read()
    with raw_connection(port) as other_session:
        other_session.execute("UPDATE pragmaspec.journal SET seq = 2 WHERE name = %s", (name,))
        other_session.execute(
            "INSERT INTO pragmaspec.journal SELECT name, lineage, 7, 1, 'more' FROM pragmaspec.journal WHERE name = %s", (name,)
        )
    with pytest.raises(StateLockLostError):
        locked.write_snapshot(snapshot(2), 2)
    locked.release()
    assert _backend(port, name).read().snapshot == snapshot(1)


@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
def test_a_connection_pooler_is_detected(port, name, mode):
    with pgbouncer(port, mode) as pooled:
        if mode != "statement":
            assert _backend(pooled, name).read().snapshot is None
        with pytest.raises(StateUnreachableError, match="Connection pooler in front of the database"):
            _backend(pooled, name).lock(holder("one"))
    assert _backend(port, name).holder() is None


def test_a_server_without_fsync_causes_a_warning(port, name):
    found = _backend(port, name).warnings()
    assert found == ("The PostgreSQL server runs with fsync = off: a power cut can lose or damage the state.",)


def test_the_session_has_its_settings(port, name):
    with raw_connection(port) as other_session:
        other_session.execute("ALTER ROLE anna SET synchronous_commit = off")
        other_session.execute("ALTER ROLE anna SET idle_session_timeout = '1s'")
    locked = _backend(port, name).lock(holder("one"))
    shown = {
        key: locked._session.execute(f"SHOW {key}").fetchone()[0]
        for key in ("synchronous_commit", "idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    }
    assert list(shown.values()) == ["on", "0", "0", "30s"]
    locked.release()
    with raw_connection(port) as other_session:
        other_session.execute("ALTER ROLE anna RESET ALL")


def test_names_and_schemas_are_independent(port, name):
    one = _backend(port, name).lock(holder("one"))
    two = _backend(port, f"{name}'; DROP TABLE x; --").lock(holder("two"))
    three = _backend(port, name, "?schema=Of_All").lock(holder("three"))
    for serial, locked in enumerate((one, two, three), 1):
        locked.read()
        locked.write_snapshot(snapshot(serial), serial)
    assert [found(locked.read())[0] for locked in (one, two, three)] == [snapshot(serial) for serial in (1, 2, 3)]
    for locked in (one, two, three):
        locked.release()


@pytest.mark.parametrize("schema", ["a%22b", "x;y", "a%25s", "", "1a", "a" * 64, "a-b"])
def test_a_schema_is_a_plain_word(port, name, schema):
    with pytest.raises(UsageError, match="schema"):
        _backend(port, name, f"?schema={schema}")


def test_the_last_snapshots_are_kept(port, name):
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    for serial in range(1, 56):
        locked.write_snapshot(snapshot(serial), serial)
    locked.release()
    versions = _backend(port, name).history()
    assert [version.serial for version in versions] == list(range(55, 4, -1))
    assert _backend(port, name).version(5) == snapshot(5)


def test_a_role_without_privileges_is_reported_and_minimal_privileges_suffice(port, name):
    with raw_connection(port) as other_session:
        other_session.execute(f"CREATE ROLE bert LOGIN PASSWORD '{PASSWORD}'")
    as_bert = PostgresqlBackend(f"postgresql://bert@127.0.0.1:{port}/{DATABASE}/{name}?schema=of_bert", FAST_RETRY, ENVIRONMENT)
    assert as_bert.read().snapshot is None
    with pytest.raises(StateUnreachableError, match="permission denied for database"):
        as_bert.lock(holder("one"))
    with raw_connection(port) as other_session:
        other_session.execute("CREATE SCHEMA of_bert AUTHORIZATION bert")
    locked = as_bert.lock(holder("one"))
    with raw_connection(port) as other_session:
        other_session.execute("REVOKE INSERT ON of_bert.states FROM bert")
    locked.read()
    with pytest.raises(StateUnwritableError, match="permission denied for table states") as caught:
        locked.write_snapshot(snapshot(1), 1)
    assert not isinstance(caught.value, StateLockLostError)
    locked.release()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PGPASSWORD": "wrong"}, "password authentication failed.*PGPASSWORD"),
        ({"PGPASSWORD": ""}, "password.*PGPASSWORD"),
    ],
)
def test_a_wrong_password_is_reported_and_never_shown(port, name, change, words):
    backend = PostgresqlBackend(f"postgresql://anna@127.0.0.1:{port}/{DATABASE}/{name}", FAST_RETRY, {**ENVIRONMENT, **change})
    with pytest.raises(StateUnreachableError, match=words) as caught:
        backend.read()
    assert PASSWORD not in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_an_absent_database_or_server_is_reported(port, name):
    with pytest.raises(StateUnreachableError, match='database "nowhere" does not exist'):
        PostgresqlBackend(f"postgresql://anna@127.0.0.1:{port}/nowhere/{name}", FAST_RETRY, ENVIRONMENT).read()
    with pytest.raises(StateUnreachableError, match="refused"):
        _backend(postgresql_server.free_port(), name).lock(holder("one"))


def test_the_lock_key_is_the_documented_one(port, name):
    """Other tools can compute the key: int8 from sha256('pragmaspec' NUL schema NUL name)."""
    place = postgresql_config(f"postgresql://127.0.0.1:{port}/{DATABASE}/{name}")
    locked = _backend(port, name).lock(holder("one"))
    with raw_connection(port) as other_session:
        assert other_session.execute("SELECT pg_try_advisory_lock(%s)", (place.lock_key,)).fetchone() == (False,)
    locked.release()
    with raw_connection(port) as other_session:
        assert other_session.execute("SELECT pg_try_advisory_lock(%s)", (place.lock_key,)).fetchone() == (True,)


def test_concurrent_creation_of_the_tables_succeeds(port):
    import threading

    ends = []

    def make(number):
        backend = _backend(port, f"together-{number}", "?schema=together")
        try:
            locked = backend.lock(holder(f"t{number}"))
            ends.append(locked.read().snapshot)
            locked.release()
        except (StateUnreachableError, psycopg.Error) as error:
            ends.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [None] * 6
