"""State in an S3 bucket, or in any store that obeys S3's preconditions.

::

    KEY                              the document: snapshot, who wrote it, and the name of its journal
    KEY.journal/<name>/<number>      batches of journal lines, numbered from 1 without a gap
    KEY.tflock                       the lock

The document is the fence. Every change of it needs the ETag that was read, and a run makes its own name the document's
``writer``, with a new journal, before its first line. A batch counts only when the document was still ours *after* the batch was
written: a run that slept while its lock was taken may still put a batch somewhere, but it finds the document changed and never
acts on it, and nobody reads that journal any more. (Batches with ``If-None-Match`` alone would not do: once the next run has
removed the journal that it finished, a sleeper's next batch finds its number free again.)
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, StateUnreachableError, StateUnreadableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.base import LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.document import StateDocument, decode_document, snapshot_header
from pragmaspec.state.backends.lock_info import decode_lock_info, locked_error
from pragmaspec.state.backends.s3.bucket import Bucket, PreconditionFailedError
from pragmaspec.state.backends.s3.config import s3_config
from pragmaspec.state.backends.s3.document import fence_out, journal_prefix, read_contents
from pragmaspec.state.backends.s3.lock import LOCKED_ADVICE, LeaseTimes, lock_key, take_lock
from pragmaspec.state.backends.s3.locked import LockedS3Backend

_MOST_VERSIONS = 100


class S3Backend:
    """The state at ``url``: ``s3://bucket/key``. Raises UsageError for a URL that cannot be, or that holds credentials."""

    def __init__(
        self,
        url: str,
        patience: RetryPolicy | None = None,
        environ: Mapping[str, str] = os.environ,
        rhythm: LeaseTimes | None = None,
    ) -> None:
        self._rhythm = rhythm or LeaseTimes()
        self._place = s3_config(url)
        self._patience = patience or RetryPolicy()
        self._environ = environ
        self._ours = ""

    @property
    def title(self) -> str:
        """The URL without options."""
        return self._place.title

    def read(self) -> RawState:
        """Document and journal of one moment."""
        with self._bucket() as bucket:
            return read_contents(bucket).stored(self.title)

    def lock(self, holder: LockHolder) -> LockedBackend:
        """Take the lock. A store that ignores preconditions is refused before the first state is put there."""
        holder = holder if holder.id else replace(holder, id=str(uuid4()))
        bucket = Bucket(self._place, self._patience, self._environ)
        try:
            if bucket.etag(self._place.key) is None:
                _check_obedience(bucket)
            lock = take_lock(bucket, holder, self._rhythm)
        except BaseException:
            bucket.close()
            raise
        self._ours = holder.id
        return LockedS3Backend(bucket, lock)

    def holder(self) -> LockHolder | None:
        """What the lock object says."""
        with self._bucket() as bucket:
            found = bucket.get(lock_key(bucket))
        return None if found is None else decode_lock_info(found.body).holder

    def break_lock(self, lock_id: str) -> None:
        """Fence the holder out, then remove its lock, unless another has it by then."""
        with self._bucket() as bucket:
            found = bucket.get(lock_key(bucket))
            if found is not None and decode_lock_info(found.body).holder.id == lock_id:
                fence_out(bucket)
                try:
                    bucket.delete_if(lock_key(bucket), lambda found: decode_lock_info(found.body).holder.id == lock_id)
                except PreconditionFailedError as refused:
                    found = refused.found
                else:
                    return
        now = f"it is locked by ID {decode_lock_info(found.body).holder.id or '(not told)'}" if found else "it is not locked"
        raise UsageError("There is no such lock", f"{self.title}: {now}. Nothing was changed.")

    def history(self) -> tuple[StateVersion, ...]:
        """The versions that the bucket keeps; only the one that stands when it keeps none."""
        return tuple(
            StateVersion(serial=serial, written=document.written, size_bytes=len(document.snapshot.encode()))
            for serial, document in self._kept()
        )

    def version(self, serial: int) -> bytes:
        """From the versions that the bucket keeps."""
        for found, document in self._kept():
            if found == serial:
                return document.snapshot.encode()
        raise UsageError(
            "There is no such version",
            f"{self.title} does not hold serial {serial}. Older ones are kept only while versioning is on there.",
        )

    def remove(self) -> None:
        """Remove the document, then its journals. Versions that the bucket keeps stay."""
        with self._bucket() as bucket:
            found = bucket.get(lock_key(bucket))
            note = decode_lock_info(found.body) if found else None
            if note is not None and note.holder.id != self._ours:
                raise locked_error(self.title, note, LOCKED_ADVICE)
            bucket.delete(self._place.key)
            bucket.delete_all(bucket.keys(journal_prefix(bucket)))

    @contextmanager
    def _bucket(self) -> Iterator[Bucket]:
        bucket = Bucket(self._place, self._patience, self._environ)
        try:
            yield bucket
        finally:
            bucket.close()

    def _kept(self) -> Iterator[tuple[int, StateDocument]]:
        """Each serial once, newest first, with the last document that held it."""
        last = -1
        with self._bucket() as bucket:
            for number, item in enumerate(bucket.versions(self._place.key)):
                try:
                    document = decode_document(item.body, self.title)
                except StateUnreadableError:
                    continue
                serial = snapshot_header(document.snapshot.encode()).serial
                if serial != last:
                    yield serial, document
                last = serial
                if number >= _MOST_VERSIONS:
                    return


def _check_obedience(bucket: Bucket) -> None:
    """Raise unless the store refuses what a precondition forbids. Without that, two runs could both hold the lock."""
    key = f"{bucket.place.key}.probe-{uuid4().hex}"
    try:
        bucket.rejects_put(key, b"1", None)
        obedient = bucket.rejects_put(key, b"2", None) and bucket.rejects_put(key, b"3", f'"{"0" * 32}"')
    finally:
        _removed(bucket, key)
    if not obedient:
        raise StateUnreachableError(
            "The store ignores preconditions",
            f"{bucket.place.title}: the store accepted a PUT with If-None-Match or If-Match that it had to refuse, so "
            "two runs could hold one lock and overwrite each other. Update the store, or keep the state somewhere else. "
            "Nothing was changed.",
        )


def _removed(bucket: Bucket, key: str) -> bool:
    try:
        bucket.delete(key)
    except PragmaspecError:
        return False
    return True
