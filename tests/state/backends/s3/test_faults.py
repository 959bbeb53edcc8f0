"""Stores that ignore preconditions, locks of dead runs, lost heartbeats, removed objects."""

import json
import time
from itertools import count

import pytest

from pragmaspec.errors import (
    StateLockedError,
    StateLockLostError,
    StateUnreachableError,
    StateUnreadableError,
    StateUnwritableError,
    UsageError,
)
from pragmaspec.state.backends.s3.backend import S3Backend
from pragmaspec.state.backends.s3.lock import LeaseTimes
from tests.state.backends.faulty_proxy import FaultyProxy
from tests.state.backends.postgresql_server import wait_for
from tests.state.backends.runs import found
from tests.state.backends.s3_server import BUCKET, ENVIRONMENT, raw_client, s3_server
from tests.state.backends.samples import FAST_RETRY, holder, lines, snapshot

BRISK = LeaseTimes(heartbeat_s=0.1, trust_s=0.5, stale_s=3.0)
STILL = LeaseTimes(heartbeat_s=3600.0)
_numbers = count(1)


@pytest.fixture(scope="module")
def port():
    with s3_server() as one:
        yield one


@pytest.fixture
def raw(port):
    client = raw_client(port)
    yield client
    client.close()


@pytest.fixture
def name():
    return f"s{next(_numbers)}"


def _backend(port, name, times=STILL, environ=ENVIRONMENT):
    return S3Backend(f"s3://{BUCKET}/stacks/{name}.json?endpoint=http://127.0.0.1:{port}", FAST_RETRY, environ, times)


def _lock_body(raw, name):
    return raw.get_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock")["Body"].read()


@pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_preconditions_is_refused(name, ignored):
    with s3_server(ignores=(ignored,)) as port:
        with pytest.raises(StateUnreachableError, match="The store ignores preconditions"):
            _backend(port, name).lock(holder("one"))
        client = raw_client(port)
        assert "Contents" not in client.list_objects_v2(Bucket=BUCKET)
        client.close()


def test_the_heartbeat_renews_the_lock(port, name, raw):
    locked = _backend(port, name, BRISK).lock(holder("one"))
    first = _lock_body(raw, name)
    wait_for(lambda: _lock_body(raw, name) != first, "the heartbeat")
    one, two = json.loads(first), json.loads(_lock_body(raw, name))
    assert two["Expires"] > one["Expires"]
    assert one["ID"] == two["ID"] == "one"
    locked.release()
    assert _backend(port, name).holder() is None


def test_a_heartbeat_whose_response_was_lost_is_recognised(port, name):
    with FaultyProxy(port) as proxy:
        locked = _backend(proxy.port, name, BRISK).lock(holder("one"))
        fault = proxy.on("lost-response", lambda method, path: method == "PUT" and path.endswith(".tflock"), times=3)
        wait_for(lambda: fault.met == 3, "three heartbeats")
        locked.read()
        locked.write_snapshot(snapshot(1), 1)
        locked.release()
    assert _backend(port, name).holder() is None


def test_a_lock_that_is_not_renewed_becomes_stale_by_the_servers_clock(port, name):
    dead = _backend(port, name, STILL).lock(holder("dead"))
    dead.read()
    dead.write_snapshot(snapshot(1), 1)
    dead.begin_journal(1)
    dead.append(lines(1), 1, 0)
    began = time.monotonic()
    with pytest.raises(StateLockedError, match="pragmaspec state unlock"):
        _backend(port, name, BRISK).lock(holder("two"))

    def taken():
        try:
            return _backend(port, name, BRISK).lock(holder("two"))
        except StateLockedError:
            return None

    heirs = []
    wait_for(lambda: heirs.append(taken()) or heirs[-1] is not None, "the lock to grow stale")
    assert time.monotonic() - began > BRISK.stale_s - 2.0
    heir = heirs[-1]
    assert found(heir.read()) == (snapshot(1), lines(1))
    # The holder is alive after all: it is fenced out although its successor has written nothing yet.
    with pytest.raises(StateLockLostError):
        dead.append(lines(2), 2, 0)
    dead.release()
    heir.write_snapshot(snapshot(2), 2)
    heir.release()
    assert found(_backend(port, name).read()) == (snapshot(2), b"")


def test_a_run_that_cannot_renew_its_lock_does_not_write(port, name):
    with FaultyProxy(port) as proxy:
        locked = _backend(proxy.port, name, LeaseTimes(heartbeat_s=0.1, trust_s=0.3)).lock(holder("one"))
        locked.read()
        locked.write_snapshot(snapshot(1), 1)
        proxy.on("say", lambda method, path: path.endswith(".tflock"), times=10**6, status=503)
        time.sleep(0.4)  # until the last heartbeat is too old to be trusted
        with pytest.raises(StateUnwritableError, match="it is not known whether the lock is still held"):
            locked.write_snapshot(snapshot(2), 2)
        proxy.faults.clear()
        locked.release()
    assert found(_backend(port, name).read()) == (snapshot(1), b"")


def test_the_heartbeat_detects_a_removed_lock(port, name, raw):
    locked = _backend(port, name, LeaseTimes(heartbeat_s=3600.0, trust_s=0.0)).lock(holder("one"))
    locked.read()
    raw.delete_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock")
    with pytest.raises(StateLockLostError, match="the lock was removed"):
        locked.write_snapshot(snapshot(1), 1)
    locked.release()


def test_the_lock_of_another_is_never_removed(port, name, raw):
    locked = _backend(port, name).lock(holder("one"))
    raw.put_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock", Body=b'{"ID":"other","Who":"x@y"}')
    locked.release()
    assert _backend(port, name).holder().id == "other"
    with pytest.raises(UsageError, match="locked by ID other"):
        _backend(port, name).break_lock("one")
    with pytest.raises(StateLockedError, match="other"):
        _backend(port, name).remove()


@pytest.mark.parametrize("body", [b"null", b"", b"<html>", b"[]", b"a" * 1_000_000])
def test_an_unreadable_lock_object_is_still_a_lock(port, name, raw, body):
    raw.put_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock", Body=body)
    with pytest.raises(StateLockedError) as caught:
        _backend(port, name).lock(holder("one"))
    assert len(str(caught.value)) < 1000
    _backend(port, name).break_lock("")
    _backend(port, name).lock(holder("one")).release()


def test_a_batch_of_a_suspended_run_in_a_finished_journal_is_not_read(port, name, raw):
    """The counterexample to batches that are guarded only by their numbers."""
    sleeper = _backend(port, name).lock(holder("sleeper"))
    sleeper.read()
    sleeper.write_snapshot(snapshot(1), 1)
    sleeper.begin_journal(1)
    sleeper.append(lines(1), 1, 0)
    raw.delete_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock")  # by hand, so no run was fenced out
    heir = _backend(port, name).lock(holder("heir"))
    heir.read()
    heir.write_snapshot(snapshot(2), 2)
    with pytest.raises(StateLockLostError, match="another run wrote the state"):
        sleeper.append(lines(2), 2, 0)
    sleeper.release()
    heir.begin_journal(2)
    heir.append(lines(2, note="heir"), 2, 0)
    heir.release()
    assert found(_backend(port, name).read()) == (snapshot(2), lines(2, note="heir"))


def test_a_missing_batch_is_detected(port, name, raw):
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    locked.begin_journal(1)
    for seq in (1, 2, 3):
        locked.append(lines(seq), seq, 0)
    locked.release()
    keys = [each["Key"] for each in raw.list_objects_v2(Bucket=BUCKET, Prefix=f"stacks/{name}.json.journal/")["Contents"]]
    raw.delete_object(Bucket=BUCKET, Key=keys[1])
    with pytest.raises(StateUnreadableError, match="batch 2 of the journal is missing"):
        _backend(port, name).read()


def test_leftovers_of_an_error_are_removed_later(port, name, raw):
    raw.put_object(Bucket=BUCKET, Key=f"stacks/{name}.json.journal/old/000000000001", Body=b"x")
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    locked.write_snapshot(snapshot(1), 1)
    locked.release()
    assert raw.list_objects_v2(Bucket=BUCKET, Prefix=f"stacks/{name}.json")["KeyCount"] == 1


def test_versions_are_those_of_the_bucket(port, name):
    locked = _backend(port, name).lock(holder("one"))
    locked.read()
    for serial in (1, 2, 3):
        locked.write_snapshot(snapshot(serial), serial)
        locked.begin_journal(serial)
    locked.release()
    assert [version.serial for version in _backend(port, name).history()] == [3, 2, 1]
    assert _backend(port, name).version(1) == snapshot(1)


def test_a_bucket_without_versioning_has_only_the_current_version(name):
    with s3_server(versioning=False) as port:
        locked = _backend(port, name).lock(holder("one"))
        locked.read()
        for serial in (1, 2):
            locked.write_snapshot(snapshot(serial), serial)
        locked.release()
        assert [version.serial for version in _backend(port, name).history()] == [2]
        with pytest.raises(UsageError, match="versioning"):
            _backend(port, name).version(1)


def test_an_absent_bucket_and_missing_credentials_are_reported(port, name, monkeypatch):
    with pytest.raises(StateUnreachableError, match="Create the bucket first"):
        S3Backend(f"s3://nowhere-at-all/x?endpoint=http://127.0.0.1:{port}", FAST_RETRY, ENVIRONMENT).read()
    with pytest.raises(StateUnreachableError, match="Create the bucket first"):
        S3Backend(f"s3://nowhere-at-all/x?endpoint=http://127.0.0.1:{port}", FAST_RETRY, ENVIRONMENT).lock(holder("one"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StateUnreachableError, match="credentials"):
        _backend(port, name, environ={}).read()


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_not_an_absent_state(port, name, status):
    with FaultyProxy(port) as proxy:
        proxy.on("say", lambda method, path: True, times=100, status=status)
        with pytest.raises(StateUnreachableError, match=str(status)):
            _backend(proxy.port, name).read()


def test_a_conflict_with_another_request_is_retried(port, name):
    """409 ConditionalRequestConflict: another conditional write is in progress; neither has succeeded yet."""
    with FaultyProxy(port) as proxy:
        fault = proxy.on("say", lambda method, path: method == "PUT", times=2, status=409)
        locked = _backend(proxy.port, name).lock(holder("one"))
        locked.read()
        proxy.on("say", lambda method, path: method == "PUT", times=2, status=409)
        locked.write_snapshot(snapshot(1), 1)
        locked.release()
        assert fault.met == 2
    assert found(_backend(port, name).read()) == (snapshot(1), b"")


def test_a_failed_precondition_is_a_lost_lock(port, name):
    with FaultyProxy(port) as proxy:
        locked = _backend(proxy.port, name).lock(holder("one"))
        locked.read()
        locked.write_snapshot(snapshot(1), 1)
        proxy.on("say", lambda method, path: method == "PUT", status=412)
        for _ in range(2):
            with pytest.raises(StateLockLostError):
                locked.write_snapshot(snapshot(2), 2)
        locked.release()
    assert found(_backend(port, name).read()) == (snapshot(1), b"")


def test_a_store_without_a_conditional_delete_still_unlocks(port, name):
    with FaultyProxy(port) as proxy:
        locked = _backend(proxy.port, name).lock(holder("one"))
        fault = proxy.on("say", lambda method, path: method == "DELETE", status=501)
        locked.release()
        assert fault.met == 1
    assert _backend(port, name).holder() is None
