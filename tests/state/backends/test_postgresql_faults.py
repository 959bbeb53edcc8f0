"""A connection that breaks anywhere, sessions that are ended, poolers, and rights that are missing."""

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
from tests.state.backends.samples import HASTY, holder, lines, snapshot

_numbers = count(1)


@pytest.fixture(scope="module")
def port():
    with postgresql_server.postgresql_server() as one:
        yield one


@pytest.fixture
def name():
    return f"s{next(_numbers)}"


def _ground(port, name, options=""):
    return PostgresqlBackend(f"postgresql://anna@127.0.0.1:{port}/{DATABASE}/{name}{options}", HASTY, ENVIRONMENT)


@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_connection_that_breaks_anywhere_loses_nothing(port, answer_lost):
    with CuttingProxy(port) as proxy:
        assert whole_run(_ground(proxy.port, f"s{next(_numbers)}")).error is None
        pieces = proxy.sent
    stopped = 0
    for cut_at in range(pieces):
        name = f"s{next(_numbers)}"
        with CuttingProxy(port) as proxy:
            proxy.cut_at, proxy.answer_lost = cut_at, answer_lost
            run = whole_run(_ground(proxy.port, name))
        stopped += run.error is not None
        if run.begun:
            assert run.error is None or isinstance(run.error, StateLockLostError), run.error
        postgresql_server.wait_for(lambda name=name: _ground(port, name).holder() is None, "the end of the broken session")
        stands = found(_ground(port, name).read())
        assert stands in [after(steps) for steps in range(run.done, run.begun + 1)], (cut_at, run)
        assert run.done == len(STEPS) or run.error is not None
    assert stopped > pieces // 2
    assert whole_run(_ground(port, name), "two").error is None


def test_a_session_that_was_ended_is_a_lost_lock_and_is_not_replaced(port, name):
    held = _ground(port, name).lock(holder("one"))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    held.begin_journal(1)
    with raw_connection(port) as behind:
        behind.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pragmaspec:one'")
    for _ in range(2):
        with pytest.raises(StateLockLostError, match="the session that held the lock has ended"):
            held.append(lines(1), 1, 0)
    held.release()
    assert found(_ground(port, name).read()) == (snapshot(1), b"")


def test_a_lock_that_was_given_back_behind_our_back_is_noticed(port, name):
    held = _ground(port, name).lock(holder("one"))
    held.read()
    held._link.execute("SELECT pg_advisory_unlock_all()")
    with pytest.raises(StateLockLostError):
        held.write_snapshot(snapshot(1), 1)
    held.release()
    assert _ground(port, name).read().snapshot is None


@pytest.mark.parametrize("change", ["UPDATE pragmaspec.states SET sha256 = 'x'", "UPDATE pragmaspec.states SET serial = 9"])
def test_a_row_that_was_changed_behind_our_back_is_not_overwritten(port, name, change):
    held = _ground(port, name).lock(holder("one"))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    with raw_connection(port) as behind:
        behind.execute(f"{change} WHERE name = %s", (name,))
    with pytest.raises(StateLockLostError, match="something else was written"):
        held.write_snapshot(snapshot(2), 2)
    held.release()
    assert _ground(port, name).read().snapshot == snapshot(1)


def test_lines_of_another_run_fence_this_one_out(port, name):
    held = _ground(port, name).lock(holder("one"))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    held.begin_journal(1)
    with raw_connection(port) as behind:
        behind.execute(
            "INSERT INTO pragmaspec.journal SELECT name, lineage, 1, 1, 'other' FROM pragmaspec.states WHERE name = %s", (name,)
        )
    with pytest.raises(StateLockLostError):
        held.append(lines(1), 1, 0)
    held.release()
    held = _ground(port, name).lock(holder("two"))
    held.read()
    with raw_connection(port) as behind:
        behind.execute("UPDATE pragmaspec.journal SET seq = 2 WHERE name = %s", (name,))
        behind.execute(
            "INSERT INTO pragmaspec.journal SELECT name, lineage, 7, 1, 'more' FROM pragmaspec.journal WHERE name = %s", (name,)
        )
    with pytest.raises(StateLockLostError):
        held.write_snapshot(snapshot(2), 2)
    held.release()
    assert _ground(port, name).read().snapshot == snapshot(1)


@pytest.mark.parametrize("mode", ["transaction", "statement", "session"])
def test_a_pooler_is_found_out(port, name, mode):
    with pgbouncer(port, mode) as pooled:
        if mode != "statement":
            assert _ground(pooled, name).read().snapshot is None
        with pytest.raises(StateUnreachableError, match="A connection pooler stands before the database"):
            _ground(pooled, name).lock(holder("one"))
    assert _ground(port, name).holder() is None


def test_a_server_that_does_not_sync_is_named(port, name):
    found = _ground(port, name).warnings()
    assert found == ("The PostgreSQL server runs with fsync = off: a power cut can lose or damage the state.",)


def test_the_session_has_its_settings(port, name):
    with raw_connection(port) as behind:
        behind.execute("ALTER ROLE anna SET synchronous_commit = off")
        behind.execute("ALTER ROLE anna SET idle_session_timeout = '1s'")
    held = _ground(port, name).lock(holder("one"))
    shown = {
        key: held._link.execute(f"SHOW {key}").fetchone()[0]
        for key in ("synchronous_commit", "idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    }
    assert list(shown.values()) == ["on", "0", "0", "30s"]
    held.release()
    with raw_connection(port) as behind:
        behind.execute("ALTER ROLE anna RESET ALL")


def test_names_and_schemas_do_not_get_into_each_others_way(port, name):
    one = _ground(port, name).lock(holder("one"))
    two = _ground(port, f"{name}'; DROP TABLE x; --").lock(holder("two"))
    three = _ground(port, name, "?schema=Of_All").lock(holder("three"))
    for serial, held in enumerate((one, two, three), 1):
        held.read()
        held.write_snapshot(snapshot(serial), serial)
    assert [found(held.read())[0] for held in (one, two, three)] == [snapshot(serial) for serial in (1, 2, 3)]
    for held in (one, two, three):
        held.release()


@pytest.mark.parametrize("schema", ["a%22b", "x;y", "a%25s", "", "1a", "a" * 64, "a-b"])
def test_a_schema_is_a_plain_word(port, name, schema):
    with pytest.raises(UsageError, match="schema"):
        _ground(port, name, f"?schema={schema}")


def test_the_last_snapshots_are_kept(port, name):
    held = _ground(port, name).lock(holder("one"))
    held.read()
    for serial in range(1, 56):
        held.write_snapshot(snapshot(serial), serial)
    held.release()
    versions = _ground(port, name).history()
    assert [version.serial for version in versions] == list(range(55, 4, -1))
    assert _ground(port, name).version(5) == snapshot(5)


def test_a_role_without_rights_is_told_so_and_one_with_few_is_enough(port, name):
    with raw_connection(port) as behind:
        behind.execute(f"CREATE ROLE bert LOGIN PASSWORD '{PASSWORD}'")
    as_bert = PostgresqlBackend(f"postgresql://bert@127.0.0.1:{port}/{DATABASE}/{name}?schema=of_bert", HASTY, ENVIRONMENT)
    assert as_bert.read().snapshot is None
    with pytest.raises(StateUnreachableError, match="permission denied for database"):
        as_bert.lock(holder("one"))
    with raw_connection(port) as behind:
        behind.execute("CREATE SCHEMA of_bert AUTHORIZATION bert")
    held = as_bert.lock(holder("one"))
    with raw_connection(port) as behind:
        behind.execute("REVOKE INSERT ON of_bert.states FROM bert")
    held.read()
    with pytest.raises(StateUnwritableError, match="permission denied for table states") as refused:
        held.write_snapshot(snapshot(1), 1)
    assert not isinstance(refused.value, StateLockLostError)
    held.release()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"PGPASSWORD": "wrong"}, "password authentication failed.*PGPASSWORD"),
        ({"PGPASSWORD": ""}, "password.*PGPASSWORD"),
    ],
)
def test_a_wrong_password_is_said_and_never_shown(port, name, change, words):
    ground = PostgresqlBackend(f"postgresql://anna@127.0.0.1:{port}/{DATABASE}/{name}", HASTY, {**ENVIRONMENT, **change})
    with pytest.raises(StateUnreachableError, match=words) as refused:
        ground.read()
    assert PASSWORD not in str(refused.value)
    assert "wrong" not in str(refused.value)


def test_an_absent_database_and_an_absent_server_are_said(port, name):
    with pytest.raises(StateUnreachableError, match='database "nowhere" does not exist'):
        PostgresqlBackend(f"postgresql://anna@127.0.0.1:{port}/nowhere/{name}", HASTY, ENVIRONMENT).read()
    with pytest.raises(StateUnreachableError, match="refused"):
        _ground(postgresql_server.free_port(), name).lock(holder("one"))


def test_the_lock_is_the_one_that_the_documents_say(port, name):
    """Another tool can look for it: the number is int8 from sha256('pragmaspec' NUL schema NUL name)."""
    place = postgresql_config(f"postgresql://127.0.0.1:{port}/{DATABASE}/{name}")
    held = _ground(port, name).lock(holder("one"))
    with raw_connection(port) as behind:
        assert behind.execute("SELECT pg_try_advisory_lock(%s)", (place.lock_key,)).fetchone() == (False,)
    held.release()
    with raw_connection(port) as behind:
        assert behind.execute("SELECT pg_try_advisory_lock(%s)", (place.lock_key,)).fetchone() == (True,)


def test_two_that_make_the_tables_at_once_both_succeed(port):
    import threading

    ends = []

    def make(number):
        ground = _ground(port, f"together-{number}", "?schema=together")
        try:
            held = ground.lock(holder(f"t{number}"))
            ends.append(held.read().snapshot)
            held.release()
        except (StateUnreachableError, psycopg.Error) as error:
            ends.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [None] * 6
