"""State in an S3 bucket, or in any store that implements S3's conditional writes.

::

    KEY                              the document: snapshot, writer, and the name of its journal
    KEY.journal/<name>/<number>      batches of journal lines, numbered from 1 without a gap
    KEY.tflock                       the lock

The document is the fence. Every change of it requires the ETag that was read, and before its first line a run makes itself the
document's ``writer``, with a new journal. A batch counts only if the document still was ours *after* the batch had been written:
a suspended run whose lock was broken may still write a batch somewhere, but it then finds the document changed and never acts on
the batch, and that journal is no longer read. (Batches with ``If-None-Match`` alone would not suffice: once the next run has
removed the journal that it completed, the number of the suspended run's next batch is free again.)
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, StateUnreachableError, StateUnreadableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.base import Backend, LockedBackend, LockHolder, RawState, StateVersion
from pragmaspec.state.backends.document import StateDocument, decode_document, snapshot_header
from pragmaspec.state.backends.lock_info import decode_lock_info, locked_error, no_such_lock_error
from pragmaspec.state.backends.s3.bucket import Bucket, PreconditionFailedError
from pragmaspec.state.backends.s3.config import s3_config
from pragmaspec.state.backends.s3.document import fence_out, journal_prefix, read_contents
from pragmaspec.state.backends.s3.lock import LOCKED_ADVICE, LeaseTimes, holder_of, lock_key, take_lock
from pragmaspec.state.backends.s3.locked import LockedS3Backend
from pragmaspec.typing import override

_MAX_VERSIONS = 100


class S3Backend(Backend):
    """The state at ``url``: ``s3://bucket/key``. Raises UsageError for a URL that is invalid or contains credentials."""

    def __init__(
        self,
        url: str,
        retry: RetryPolicy | None = None,
        environ: Mapping[str, str] = os.environ,
        times: LeaseTimes | None = None,
    ) -> None:
        self._config = s3_config(url)
        self._retry = retry or RetryPolicy()
        self._environ = environ
        self._times = times or LeaseTimes()
        self._own_lock_id = ""

    @property
    @override
    def title(self) -> str:
        return self._config.title

    @override
    def read(self) -> RawState:
        with self._bucket() as bucket:
            return read_contents(bucket).raw_state(self.title)

    @override
    def lock(self, holder: LockHolder) -> LockedBackend:
        holder = holder if holder.id else replace(holder, id=str(uuid4()))
        bucket = Bucket(self._config, self._retry, self._environ)
        try:
            if bucket.etag(self._config.key) is None:
                _check_preconditions(bucket)
            lock = take_lock(bucket, holder, self._times)
        except BaseException:
            bucket.close()
            raise
        self._own_lock_id = holder.id
        return LockedS3Backend(bucket, lock)

    @override
    def holder(self) -> LockHolder | None:
        with self._bucket() as bucket:
            found = bucket.get(lock_key(bucket))
        return None if found is None else holder_of(found)

    @override
    def break_lock(self, lock_id: str) -> None:
        # The holder is fenced out first; the lock is then removed unless it belongs to another run by then.
        with self._bucket() as bucket:
            found = bucket.get(lock_key(bucket))
            if found is not None and holder_of(found).id == lock_id:
                fence_out(bucket)
                try:
                    bucket.delete_if(lock_key(bucket), lambda found: holder_of(found).id == lock_id)
                except PreconditionFailedError as failed:
                    found = failed.found
                else:
                    return
        raise no_such_lock_error(self.title, holder_of(found) if found else None)

    @override
    def history(self) -> tuple[StateVersion, ...]:
        return tuple(
            StateVersion(serial=serial, written=document.written, size_bytes=len(document.snapshot.encode()))
            for serial, document in self._versions()
        )

    @override
    def version(self, serial: int) -> bytes:
        for found, document in self._versions():
            if found == serial:
                return document.snapshot.encode()
        raise UsageError(
            "There is no such version",
            f"{self.title} does not contain serial {serial}. Earlier ones are kept only while versioning is enabled there.",
        )

    @override
    def remove(self) -> None:
        with self._bucket() as bucket:
            found = bucket.get(lock_key(bucket))
            if found is not None and holder_of(found).id != self._own_lock_id:
                raise locked_error(self.title, decode_lock_info(found.body), LOCKED_ADVICE)
            bucket.delete(self._config.key)
            bucket.delete_all(bucket.keys(journal_prefix(bucket)))

    @contextmanager
    def _bucket(self) -> Iterator[Bucket]:
        bucket = Bucket(self._config, self._retry, self._environ)
        try:
            yield bucket
        finally:
            bucket.close()

    def _versions(self) -> Iterator[tuple[int, StateDocument]]:
        """Yield each serial once, newest first, with the last document that contained it."""
        last = -1
        with self._bucket() as bucket:
            for number, item in enumerate(bucket.versions(self._config.key)):
                try:
                    document = decode_document(item.body, self.title)
                except StateUnreadableError:
                    continue
                serial = snapshot_header(document.snapshot.encode()).serial
                if serial != last:
                    yield serial, document
                last = serial
                if number >= _MAX_VERSIONS:
                    return


def _check_preconditions(bucket: Bucket) -> None:
    """Raise unless the store honours preconditions; otherwise two runs could both hold the lock.

    Called before the first state is written.
    """
    key = f"{bucket.config.key}.probe-{uuid4().hex}"
    try:
        bucket.rejects_put(key, b"1", None)
        honoured = bucket.rejects_put(key, b"2", None) and bucket.rejects_put(key, b"3", f'"{"0" * 32}"')
    finally:
        with suppress(PragmaspecError):
            bucket.delete(key)
    if not honoured:
        raise StateUnreachableError(
            "The store ignores preconditions",
            f"{bucket.config.title}: the store accepted a PUT with If-None-Match or If-Match that it had to reject, so two runs "
            "could hold the lock and overwrite each other. Update the store, or use another backend. Nothing was changed.",
        )
