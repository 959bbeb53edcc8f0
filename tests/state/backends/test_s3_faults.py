"""Stores that ignore preconditions, locks of dead runs, heartbeats that do not arrive, objects that somebody removed."""

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
from tests.state.backends.samples import HASTY, holder, lines, snapshot

BRISK = LeaseTimes(beat_s=0.1, trust_s=0.5, stale_s=3.0)
STILL = LeaseTimes(beat_s=3600.0)
_numbers = count(1)


@pytest.fixture(scope="module")
def port():
    with s3_server() as one:
        yield one


@pytest.fixture
def behind(port):
    client = raw_client(port)
    yield client
    client.close()


@pytest.fixture
def name():
    return f"s{next(_numbers)}"


def _ground(port, name, rhythm=STILL, environ=ENVIRONMENT):
    return S3Backend(f"s3://{BUCKET}/stacks/{name}.json?endpoint=http://127.0.0.1:{port}", HASTY, environ, rhythm)


def _lock_body(behind, name):
    return behind.get_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock")["Body"].read()


@pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_preconditions_is_refused(name, ignored):
    with s3_server(ignores=(ignored,)) as port:
        with pytest.raises(StateUnreachableError, match="The store ignores preconditions"):
            _ground(port, name).lock(holder("one"))
        client = raw_client(port)
        assert "Contents" not in client.list_objects_v2(Bucket=BUCKET)
        client.close()


def test_the_heartbeat_renews_the_lock(port, name, behind):
    held = _ground(port, name, BRISK).lock(holder("one"))
    first = _lock_body(behind, name)
    wait_for(lambda: _lock_body(behind, name) != first, "the heartbeat")
    one, two = json.loads(first), json.loads(_lock_body(behind, name))
    assert two["Expires"] > one["Expires"]
    assert one["ID"] == two["ID"] == "one"
    held.release()
    assert _ground(port, name).holder() is None


def test_a_heartbeat_whose_answer_is_lost_is_recognised(port, name):
    with FaultyProxy(port) as proxy:
        held = _ground(proxy.port, name, BRISK).lock(holder("one"))
        fault = proxy.on("lost-response", lambda method, path: method == "PUT" and path.endswith(".tflock"), times=3)
        wait_for(lambda: fault.met == 3, "three heartbeats")
        held.read()
        held.write_snapshot(snapshot(1), 1)
        held.release()
    assert _ground(port, name).holder() is None


def test_a_lock_that_is_not_renewed_grows_stale_and_is_taken_by_the_servers_clock(port, name):
    dead = _ground(port, name, STILL).lock(holder("dead"))
    dead.read()
    dead.write_snapshot(snapshot(1), 1)
    dead.begin_journal(1)
    dead.append(lines(1), 1, 0)
    began = time.monotonic()
    with pytest.raises(StateLockedError, match="pragmaspec state unlock"):
        _ground(port, name, BRISK).lock(holder("two"))

    def taken():
        try:
            return _ground(port, name, BRISK).lock(holder("two"))
        except StateLockedError:
            return None

    heirs = []
    wait_for(lambda: heirs.append(taken()) or heirs[-1] is not None, "the lock to grow stale")
    assert time.monotonic() - began > BRISK.stale_s - 2.0
    heir = heirs[-1]
    assert found(heir.read()) == (snapshot(1), lines(1))
    # The dead one lives after all: it is fenced out although the heir has written nothing of its own.
    with pytest.raises(StateLockLostError):
        dead.append(lines(2), 2, 0)
    dead.release()
    heir.write_snapshot(snapshot(2), 2)
    heir.release()
    assert found(_ground(port, name).read()) == (snapshot(2), b"")


def test_who_cannot_renew_the_lock_does_not_write(port, name):
    with FaultyProxy(port) as proxy:
        held = _ground(proxy.port, name, LeaseTimes(beat_s=0.1, trust_s=0.3)).lock(holder("one"))
        held.read()
        held.write_snapshot(snapshot(1), 1)
        proxy.on("say", lambda method, path: path.endswith(".tflock"), times=10**6, status=503)
        time.sleep(0.4)  # the time itself is what is tested: the last heartbeat is too old to be believed
        with pytest.raises(StateUnwritableError, match="whether the lock is still held is not known"):
            held.write_snapshot(snapshot(2), 2)
        proxy.faults.clear()
        held.release()
    assert found(_ground(port, name).read()) == (snapshot(1), b"")


def test_a_lock_that_was_removed_by_hand_is_noticed_by_the_heartbeat(port, name, behind):
    held = _ground(port, name, LeaseTimes(beat_s=3600.0, trust_s=0.0)).lock(holder("one"))
    held.read()
    behind.delete_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock")
    with pytest.raises(StateLockLostError, match="the lock is gone"):
        held.write_snapshot(snapshot(1), 1)
    held.release()


def test_the_lock_of_another_is_never_removed(port, name, behind):
    held = _ground(port, name).lock(holder("one"))
    behind.put_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock", Body=b'{"ID":"other","Who":"x@y"}')
    held.release()
    assert _ground(port, name).holder().id == "other"
    with pytest.raises(UsageError, match="locked by ID other"):
        _ground(port, name).break_lock("one")
    with pytest.raises(StateLockedError, match="other"):
        _ground(port, name).remove()


@pytest.mark.parametrize("body", [b"null", b"", b"<html>", b"[]", b"a" * 1_000_000])
def test_a_lock_object_that_cannot_be_read_is_still_a_lock(port, name, behind, body):
    behind.put_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock", Body=body)
    with pytest.raises(StateLockedError) as refused:
        _ground(port, name).lock(holder("one"))
    assert len(str(refused.value)) < 1000
    _ground(port, name).break_lock("")
    _ground(port, name).lock(holder("one")).release()


def test_what_a_sleeper_puts_after_its_journal_was_finished_is_not_read(port, name, behind):
    """The counter-example to batches that are guarded by their numbers alone."""
    sleeper = _ground(port, name).lock(holder("sleeper"))
    sleeper.read()
    sleeper.write_snapshot(snapshot(1), 1)
    sleeper.begin_journal(1)
    sleeper.append(lines(1), 1, 0)
    behind.delete_object(Bucket=BUCKET, Key=f"stacks/{name}.json.tflock")  # by hand, so nobody was fenced
    heir = _ground(port, name).lock(holder("heir"))
    heir.read()
    heir.write_snapshot(snapshot(2), 2)
    with pytest.raises(StateLockLostError, match="another run has written the state"):
        sleeper.append(lines(2), 2, 0)
    sleeper.release()
    heir.begin_journal(2)
    heir.append(lines(2, said="heir"), 2, 0)
    heir.release()
    assert found(_ground(port, name).read()) == (snapshot(2), lines(2, said="heir"))


def test_a_batch_that_is_missing_is_not_passed_over(port, name, behind):
    held = _ground(port, name).lock(holder("one"))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    held.begin_journal(1)
    for seq in (1, 2, 3):
        held.append(lines(seq), seq, 0)
    held.release()
    keys = [each["Key"] for each in behind.list_objects_v2(Bucket=BUCKET, Prefix=f"stacks/{name}.json.journal/")["Contents"]]
    behind.delete_object(Bucket=BUCKET, Key=keys[1])
    with pytest.raises(StateUnreadableError, match="batch 2 of the journal is missing"):
        _ground(port, name).read()


def test_what_an_error_left_behind_is_tidied_up_later(port, name, behind):
    behind.put_object(Bucket=BUCKET, Key=f"stacks/{name}.json.journal/old/000000000001", Body=b"x")
    held = _ground(port, name).lock(holder("one"))
    held.read()
    held.write_snapshot(snapshot(1), 1)
    held.release()
    assert behind.list_objects_v2(Bucket=BUCKET, Prefix=f"stacks/{name}.json")["KeyCount"] == 1


def test_versions_are_those_of_the_bucket(port, name):
    held = _ground(port, name).lock(holder("one"))
    held.read()
    for serial in (1, 2, 3):
        held.write_snapshot(snapshot(serial), serial)
        held.begin_journal(serial)
    held.release()
    assert [version.serial for version in _ground(port, name).history()] == [3, 2, 1]
    assert _ground(port, name).version(1) == snapshot(1)


def test_a_bucket_without_versions_has_the_one_that_stands(name):
    with s3_server(versioning=False) as port:
        held = _ground(port, name).lock(holder("one"))
        held.read()
        for serial in (1, 2):
            held.write_snapshot(snapshot(serial), serial)
        held.release()
        assert [version.serial for version in _ground(port, name).history()] == [2]
        with pytest.raises(UsageError, match="versioning"):
            _ground(port, name).version(1)


def test_an_absent_bucket_and_missing_credentials_are_said(port, name, monkeypatch):
    with pytest.raises(StateUnreachableError, match="Create the bucket first"):
        S3Backend(f"s3://nowhere-at-all/x?endpoint=http://127.0.0.1:{port}", HASTY, ENVIRONMENT).read()
    with pytest.raises(StateUnreachableError, match="Create the bucket first"):
        S3Backend(f"s3://nowhere-at-all/x?endpoint=http://127.0.0.1:{port}", HASTY, ENVIRONMENT).lock(holder("one"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StateUnreachableError, match="credentials"):
        _ground(port, name, environ={}).read()


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_not_an_absent_state(port, name, status):
    with FaultyProxy(port) as proxy:
        proxy.on("say", lambda method, path: True, times=100, status=status)
        with pytest.raises(StateUnreachableError, match=str(status)):
            _ground(proxy.port, name).read()


def test_a_conflict_with_another_request_is_tried_again(port, name):
    """409 ConditionalRequestConflict: another conditional write is under way; neither has won yet."""
    with FaultyProxy(port) as proxy:
        fault = proxy.on("say", lambda method, path: method == "PUT", times=2, status=409)
        held = _ground(proxy.port, name).lock(holder("one"))
        held.read()
        proxy.on("say", lambda method, path: method == "PUT", times=2, status=409)
        held.write_snapshot(snapshot(1), 1)
        held.release()
        assert fault.met == 2
    assert found(_ground(port, name).read()) == (snapshot(1), b"")


def test_a_precondition_that_failed_is_a_lost_lock(port, name):
    with FaultyProxy(port) as proxy:
        held = _ground(proxy.port, name).lock(holder("one"))
        held.read()
        held.write_snapshot(snapshot(1), 1)
        proxy.on("say", lambda method, path: method == "PUT", status=412)
        for _ in range(2):
            with pytest.raises(StateLockLostError):
                held.write_snapshot(snapshot(2), 2)
        held.release()
    assert found(_ground(port, name).read()) == (snapshot(1), b"")


def test_a_store_without_a_conditional_delete_still_unlocks(port, name):
    with FaultyProxy(port) as proxy:
        held = _ground(proxy.port, name).lock(holder("one"))
        fault = proxy.on("say", lambda method, path: method == "DELETE", status=501)
        held.release()
        assert fault.met == 1
    assert _ground(port, name).holder() is None
