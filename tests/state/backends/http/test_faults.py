"""Errors and unusual responses of servers with Terraform's protocol."""

import json
from itertools import count

import pytest

from pragmaspec.errors import (
    StateLockedError,
    StateLockLostError,
    StateUnreachableError,
    StateUnreadableError,
    StateUnwritableError,
)
from pragmaspec.state.backends.http.backend import HttpBackend
from tests.state.backends.faulty_proxy import FaultyProxy
from tests.state.backends.http_server import StateServer
from tests.state.backends.runs import found, whole_run
from tests.state.backends.samples import FAST_RETRY, holder, lines, snapshot

MANNERS = ("gitlab", "plain", "careless")
_numbers = count(1)


@pytest.fixture(scope="module", params=MANNERS)
def server(request):
    with StateServer(request.param) as one:
        yield one


def _through(server, proxy, name):
    return HttpBackend(server.url(name, proxy.port), FAST_RETRY, server.environment)


def _straight(server, name):
    return HttpBackend(server.url(name), FAST_RETRY, server.environment)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 501])
def test_after_a_refused_write_nothing_more_is_written(server, status):
    name = f"s{next(_numbers)}"
    with FaultyProxy(server.port) as proxy:
        locked = _through(server, proxy, name).lock(holder("one"))
        locked.read()
        locked.write_snapshot(snapshot(1), 1)
        locked.begin_journal(1)
        proxy.on("say", lambda method, path: method == "POST", status=status)
        with pytest.raises(StateUnwritableError, match=str(status)) as caught:
            locked.append(lines(1), 1, 0)
        assert not isinstance(caught.value, StateLockLostError)
        with pytest.raises(StateUnwritableError):
            locked.append(lines(1), 1, 0)
        locked.release()
    assert found(_straight(server, name).read()) == (snapshot(1), b"")


@pytest.mark.parametrize("status", [409, 412, 423])
def test_a_lock_conflict_of_a_write_is_a_lost_lock(server, status):
    name = f"s{next(_numbers)}"
    with FaultyProxy(server.port) as proxy:
        locked = _through(server, proxy, name).lock(holder("one"))
        locked.read()
        proxy.on("say", lambda method, path: method == "POST", status=status)
        with pytest.raises(StateLockLostError, match=str(status)):
            locked.write_snapshot(snapshot(1), 1)
        locked.release()
    assert _straight(server, name).read().snapshot is None


UNREADABLE = (
    b"null",
    b"",
    b"<html>locked</html>",
    b"[]",
    b'{"ID":7}',
    b'{"Who":"x"}',
    b"\xff\xfe",
    b"\x1b]0;owned\x07",
    b"[" * 100_000,
    b"a" * 10_000_000,
)


@pytest.mark.parametrize("status", [409, 412, 423])
def test_an_unreadable_lock_is_still_a_lock(server, status):
    for body in UNREADABLE:
        with FaultyProxy(server.port) as proxy:
            proxy.on("say", lambda method, path: method in {"LOCK", "POST"}, status=status, body=body)
            with pytest.raises(StateLockedError) as caught:
                _through(server, proxy, "never").lock(holder("one"))
        words = str(caught.value)
        assert len(words) < 1000
        assert words.isprintable()


@pytest.mark.parametrize("status", [409, 412, 423])
def test_a_refusal_that_shows_our_own_lock_is_a_success(server, status):
    name = f"s{next(_numbers)}"
    with FaultyProxy(server.port) as proxy:
        body = json.dumps({"ID": "one", "Who": "anna@desk"}).encode()
        proxy.on("say-after", lambda method, path: method == "LOCK" or path.endswith("/lock"), status=status, body=body)
        assert whole_run(_through(server, proxy, name)).error is None


@pytest.mark.parametrize("status", [201, 204, 301, 302, 401, 403, 404, 405, 501])
def test_a_server_without_locking_is_refused_and_left_unlocked(server, status):
    name = f"s{next(_numbers)}"
    with FaultyProxy(server.port) as proxy:
        proxy.on("say-after" if status < 300 else "say", lambda method, path: True, status=status)
        with pytest.raises(StateUnreachableError, match=str(status)):
            _through(server, proxy, name).lock(holder("one"))
    assert _straight(server, name).holder() is None


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 410, 500, 503])
def test_a_refused_read_is_not_an_absent_state(server, status):
    with FaultyProxy(server.port) as proxy:
        proxy.on("say", lambda method, path: True, times=100, status=status)
        with pytest.raises(StateUnreachableError, match=str(status)):
            _through(server, proxy, "x").read()


@pytest.mark.parametrize("status", [200, 204, 404])
def test_an_empty_response_is_an_absent_state(server, status):
    with FaultyProxy(server.port) as proxy:
        proxy.on("say", lambda method, path: True, status=status)
        assert _through(server, proxy, "x").read().snapshot is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "web page"),
        (b'{"version":4,"terraform_version":"1.9.0","serial":3,"lineage":"x"}', "Terraform 1.9.0"),
        (b'{"format":99,"kind":"pragmaspec","whatever":1}', "newer format"),
        (b'{"format":1,"kind":"pragmaspec"', "damaged"),
        (b"null", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"\0" * 512, "damaged"),
    ],
)
def test_other_content_is_refused(server, body, words):
    with FaultyProxy(server.port) as proxy:
        proxy.on("say", lambda method, path: True, status=200, body=body)
        with pytest.raises(StateUnreadableError, match=words):
            _through(server, proxy, "x").read()


def test_a_delayed_write_is_harmless(server):
    """The request is delayed, retried, and carried out after the run has continued."""
    name = f"s{next(_numbers)}"
    with FaultyProxy(server.port) as proxy:
        backend = _through(server, proxy, name)
        locked = backend.lock(holder("one"))
        locked.read()
        locked.write_snapshot(snapshot(1), 1)
        locked.begin_journal(1)
        proxy.on("late", lambda method, path: method == "POST")
        locked.append(lines(1), 1, 0)
        locked.append(lines(2), 2, 0)
        proxy.deliver()
        if server.variant == "careless":
            # Only our own read can detect this; it does so before the next write.
            with pytest.raises(StateLockLostError, match="the state was changed"):
                locked.append(lines(3), 3, 0)
        else:
            locked.append(lines(3), 3, 0)
            assert found(_straight(server, name).read()) == (snapshot(1), lines(1, 3))
        locked.release()


def test_an_old_state_from_a_lagging_replica_is_not_a_foreign_write(server):
    """The server accepts a write but returns the previous state for a while."""
    name = f"s{next(_numbers)}"
    with FaultyProxy(server.port) as proxy:
        locked = _through(server, proxy, name).lock(holder("one"))
        locked.read()
        locked.write_snapshot(snapshot(1), 1)
        old = server.states[name].body
        writes = server.states[name].writes
        proxy.on(
            "say",
            lambda method, path: method == "GET" and server.states[name].writes > writes,
            times=2,
            status=200,
            body=old,
        )
        locked.write_snapshot(snapshot(2), 2)
        locked.release()
    assert _straight(server, name).read().snapshot == snapshot(2)


def test_a_foreign_write_is_detected_before_ours(server):
    name = f"s{next(_numbers)}"
    locked = _straight(server, name).lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    document = json.loads(server.states[name].body)
    document["serial"] += 1
    server.states[name].body = json.dumps(document).encode()
    with pytest.raises(StateLockLostError, match="the state was changed"):
        locked.write_snapshot(snapshot(2), 2)
    locked.release()
    assert json.loads(server.states[name].body) == document
