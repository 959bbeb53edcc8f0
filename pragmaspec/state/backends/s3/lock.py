"""The lock on a state in S3: an object that only one can make, kept fresh by a heartbeat."""

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

    ``beat_s``: between two heartbeats. ``trust_s``: how long the lock is believed to be ours without one; after that, every write
    begins with one. ``stale_s``: a lock that was not renewed for so long, by the server's clock, belongs to a dead run and may be
    taken: the time a heartbeat claims, and 10 minutes.
    """

    beat_s: float = 30.0
    trust_s: float = 60.0
    stale_s: float = 90.0 + 600.0


_CLAIMED_S = 90
_LAST_BEAT_S = 5.0
LOCKED_ADVICE = (
    "Wait until that run has ended. A dead one's lock can be taken 12 minutes after its last sign of life, or at once with "
    "`pragmaspec state unlock ID`."
)


class S3Lock:
    """The lock that ``holder`` took; renewed by a thread until it is released. ``stolen``: it was another's before."""

    def __init__(self, bucket: Bucket, holder: LockHolder, etag: str, rhythm: LeaseTimes, *, stolen: bool) -> None:
        self.holder = holder
        self.stolen = stolen
        self._bucket = bucket
        self._etag = etag
        self._rhythm = rhythm
        self._fresh = _clock()
        self._lost = ""
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="pragmaspec-heartbeat", daemon=True)
        self._thread.start()

    def check(self) -> str:
        """Empty while the lock is ours, else why it is not. Asks the store when the last heartbeat is too old to be believed."""
        patience = self._bucket.patience
        for turn in range(patience.tries):
            if self._lost or _clock() - self._fresh <= self._rhythm.trust_s or self._beat():
                return self._lost
            patience.wait(turn)
        return "the store does not answer, so whether the lock is still held is not known"

    @property
    def lost(self) -> bool:
        """Whether the store has said that the lock is another's now."""
        return bool(self._lost)

    def release(self) -> None:
        """Give the lock back, if it is ours. Never raises."""
        self._ended.set()
        self._thread.join(_LAST_BEAT_S)  # a heartbeat that arrives after the lock was removed is refused
        _give_back(self._bucket, self.holder)

    def _beat_on(self) -> None:
        pause_s = self._rhythm.beat_s
        while not self._ended.wait(pause_s) and not self._lost:
            pause_s = self._rhythm.beat_s / (1 if self._beat() else 6)

    def _beat(self) -> bool:
        """Renew the lock; whether that is certain."""
        with self._guard:
            began = _clock()
            try:
                self._etag = self._bucket.without_retries().put(lock_key(self._bucket), _body(self.holder), self._etag)
            except PreconditionFailedError as refused:
                if refused.found is None or _id(refused.found) != self.holder.id:
                    self._lost = "the lock is gone" if refused.found is None else f"ID {_id(refused.found)} holds the lock now"
                    return True
                self._etag = refused.found.etag  # an earlier heartbeat whose answer was lost
            except PragmaspecError:
                return False
            self._fresh = began
            return True


def take_lock(bucket: Bucket, holder: LockHolder, rhythm: LeaseTimes) -> S3Lock:
    """Take the lock for ``holder``, also one that a dead run has left. Raises StateLockedError, StateUnreachableError."""
    key, body = lock_key(bucket), _body(holder)
    for turn in range(bucket.patience.tries):
        try:
            return S3Lock(bucket, holder, bucket.put(key, body, None), rhythm, stolen=False)
        except PreconditionFailedError as refused:
            found = refused.found
        except StateUnreachableError:
            _give_back(bucket, holder)  # the request may have arrived
            raise
        if found is None:
            bucket.patience.wait(turn)  # freed between the refusal and the look
            continue
        if _id(found) == holder.id:
            return S3Lock(bucket, holder, found.etag, rhythm, stolen=False)
        if found.age_s < rhythm.stale_s:
            raise locked_error(bucket.place.title, decode_lock_info(found.body), LOCKED_ADVICE)
        try:
            return S3Lock(bucket, holder, bucket.put(key, body, found.etag), rhythm, stolen=True)
        except PreconditionFailedError:
            continue  # it lives after all, or another was quicker
    raise StateUnreachableError(
        "The lock cannot be taken", f"{bucket.place.title}: others take and free it all the time. Try again."
    )


def lock_key(bucket: Bucket) -> str:
    """Where the lock stands: beside the state, as Terraform has it."""
    return f"{bucket.place.key}.tflock"


def _give_back(bucket: Bucket, holder: LockHolder) -> None:
    """Remove the lock of ``holder``, if it is there. Never raises."""
    with suppress(PragmaspecError, PreconditionFailedError):
        bucket.delete_if(lock_key(bucket), lambda found: _id(found) == holder.id)


def _body(holder: LockHolder) -> bytes:
    """Lock info with ``Expires``, for people and tools: staleness is decided by the server's clock, never by this time."""
    known = msgspec.json.decode(encode_lock_info(holder), type=dict[str, str])
    return msgspec.json.encode({**known, "Expires": (datetime.now(UTC) + timedelta(seconds=_CLAIMED_S)).isoformat()})


def _id(found: S3Object) -> str:
    return decode_lock_info(found.body).holder.id


def _clock() -> float:
    """Seconds that pass also while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
