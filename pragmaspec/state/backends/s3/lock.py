"""The lock on a state in S3: an object that only one run can create, renewed by a heartbeat like a lease."""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from pragmaspec.errors import PragmaspecError, StateUnreachableError
from pragmaspec.state.backends.base import LockHolder
from pragmaspec.state.backends.lock_info import decode_lock_info, encode_lock_info, locked_error
from pragmaspec.state.backends.s3.bucket import Bucket, PreconditionFailedError, S3Object


class LeaseTimes(NamedTuple):
    """Times of a lock, in seconds.

    ``heartbeat_s`` is the interval of the heartbeat. For ``trust_s`` after one the lock is assumed to be held; later, every write
    starts with a heartbeat. A lock not renewed for ``stale_s``, by the clock of the server, belongs to a dead run and may be
    taken: the time that a heartbeat claims, and 10 minutes.
    """

    heartbeat_s: float = 30.0
    trust_s: float = 60.0
    stale_s: float = 90.0 + 600.0


_CLAIMED_S = 90
_LAST_HEARTBEAT_S = 5.0
_RETRIES_PER_INTERVAL = 6
LOCKED_ADVICE = (
    "Wait until that run has ended. The lock of a dead run can be taken 11½ minutes after its last heartbeat, or at once with "
    "`pragmaspec state unlock ID`."
)


class S3Lock:
    """The lock of ``holder``, which a thread renews until it is released. ``stolen``: it was taken from a dead run."""

    def __init__(self, bucket: Bucket, holder: LockHolder, etag: str, times: LeaseTimes, *, stolen: bool) -> None:
        self.holder = holder
        self.stolen = stolen
        self._bucket = bucket
        self._etag = etag
        self._times = times
        self._renewed_at = _boot_time_s()
        self._lost = ""
        self._renewing = threading.Lock()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pragmaspec-heartbeat", daemon=True)
        self._thread.start()

    def check(self) -> str:
        """Return why the lock is not held, empty while it is. Renews it first if the last heartbeat is too old."""
        retry = self._bucket.retry
        for attempt in range(retry.tries):
            if self._lost or _boot_time_s() - self._renewed_at <= self._times.trust_s or self._renew():
                return self._lost
            retry.wait(attempt)
        return "the store does not respond, so it is not known whether the lock is still held"

    @property
    def lost(self) -> bool:
        """True if the store has reported that the lock was removed or taken by another run."""
        return bool(self._lost)

    def release(self) -> None:
        """Release the lock if it is still held. Never raises."""
        self._released.set()
        self._thread.join(_LAST_HEARTBEAT_S)  # a heartbeat that arrives after the lock was removed is rejected
        _remove(self._bucket, self.holder)

    def _run(self) -> None:
        pause_s = self._times.heartbeat_s
        while not self._released.wait(pause_s) and not self._lost:
            pause_s = self._times.heartbeat_s / (1 if self._renew() else _RETRIES_PER_INTERVAL)

    def _renew(self) -> bool:
        """Renew the lock, or find that it is lost; return False if the outcome is unknown."""
        with self._renewing:
            began = _boot_time_s()
            try:
                self._etag = self._bucket.without_retries().put(lock_key(self._bucket), _body(self.holder), self._etag)
            except PreconditionFailedError as failed:
                found = failed.found
                if found is None or holder_of(found).id != self.holder.id:
                    self._lost = "the lock was removed" if found is None else f"ID {holder_of(found).id} holds the lock now"
                    return True
                self._etag = found.etag  # of an earlier heartbeat whose response was lost
            except PragmaspecError:
                return False
            self._renewed_at = began
            return True


def take_lock(bucket: Bucket, holder: LockHolder, times: LeaseTimes) -> S3Lock:
    """Take the lock for ``holder``, also from a dead run. Raises StateLockedError and StateUnreachableError."""
    key, body = lock_key(bucket), _body(holder)
    for attempt in range(bucket.retry.tries):
        try:
            return S3Lock(bucket, holder, bucket.put(key, body, None), times, stolen=False)
        except PreconditionFailedError as failed:
            found = failed.found
        except StateUnreachableError:
            _remove(bucket, holder)  # the request may have arrived
            raise
        if found is None:
            bucket.retry.wait(attempt)  # released between the rejection and the read
            continue
        if holder_of(found).id == holder.id:
            return S3Lock(bucket, holder, found.etag, times, stolen=False)
        if found.age_s < times.stale_s:
            raise locked_error(bucket.config.title, decode_lock_info(found.body), LOCKED_ADVICE)
        try:
            return S3Lock(bucket, holder, bucket.put(key, body, found.etag), times, stolen=True)
        except PreconditionFailedError:
            continue  # its holder is alive after all, or another run was faster
    raise StateUnreachableError(
        "The lock cannot be taken", f"{bucket.config.title}: other runs keep taking and releasing it. Try again."
    )


def lock_key(bucket: Bucket) -> str:
    """Return the key of the lock object, named as Terraform names it."""
    return f"{bucket.config.key}.tflock"


def holder_of(lock_object: S3Object) -> LockHolder:
    """Return the holder that a lock object names."""
    return decode_lock_info(lock_object.body).holder


def _remove(bucket: Bucket, holder: LockHolder) -> None:
    """Remove the lock if it is that of ``holder``. Never raises."""
    with suppress(PragmaspecError, PreconditionFailedError):
        bucket.delete_if(lock_key(bucket), lambda found: holder_of(found).id == holder.id)


def _body(holder: LockHolder) -> bytes:
    """Return lock info with ``Expires``, for display only: the server's clock decides what is stale."""
    info = msgspec.json.decode(encode_lock_info(holder), type=dict[str, str])
    return msgspec.json.encode({**info, "Expires": (datetime.now(UTC) + timedelta(seconds=_CLAIMED_S)).isoformat()})


def _boot_time_s() -> float:
    """Seconds since boot, including the time during which the machine was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
