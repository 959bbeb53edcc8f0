"""A state in S3 whose lock this process holds."""

from contextlib import suppress
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, StateLockLostError, StateUnreachableError, StateUnwritableError
from pragmaspec.state.backends.base import LockedBackend, RawState, WriteFence
from pragmaspec.state.backends.document import StateDocument, encode_document, new_document
from pragmaspec.state.backends.s3.bucket import Bucket, PreconditionFailedError
from pragmaspec.state.backends.s3.document import (
    NO_WRITER,
    S3Contents,
    batch_key,
    fence_out,
    journal_prefix,
    next_write,
    read_contents,
)
from pragmaspec.state.backends.s3.lock import S3Lock
from pragmaspec.typing import override


class LockedS3Backend(LockedBackend):
    """The state in ``bucket``, locked by ``lock``."""

    def __init__(self, bucket: Bucket, lock: S3Lock) -> None:
        self._bucket = bucket
        self._lock = lock
        self._writer = lock.holder.id
        self._known: S3Contents | None = None
        """The contents last read or written."""
        self._batch_count = 0
        self._last: tuple[int, bytes] | None = None
        self._fence = WriteFence(bucket.config.title)
        self._released = False

    @override
    def read(self) -> RawState:
        if self._lock.stolen and self._known is None:
            fence_out(self._bucket)
        self._known = read_contents(self._bucket)
        self._batch_count = len(self._known.batches)
        return self._known.raw_state(self._bucket.config.title)

    @override
    def begin_journal(self, serial: int) -> None:
        before = self._writable()
        if before.document is None:
            raise self._fence.close(StateUnwritableError, "there is no snapshot that a journal could extend")
        if before.document.writer == self._writer and before.document.journal_serial == serial:
            return
        if before.batches:
            raise self._fence.close(StateUnwritableError, "there are journal lines that no snapshot covers")
        self._claim(replace(next_write(before.document, self._writer), journal=uuid4().hex, journal_serial=serial))

    @override
    def append(self, lines: bytes, first_seq: int, reserve_bytes: int) -> None:
        del reserve_bytes  # S3 cannot reserve space
        before = self._writable()
        if self._last == (first_seq, lines):
            return
        if before.document is None or before.document.writer != self._writer:
            raise self._fence.close(StateUnwritableError, "no journal was begun")
        key = batch_key(self._bucket, before.document.journal, self._batch_count + 1)
        try:
            self._bucket.put(key, lines, None)
            etag = self._bucket.etag(self._bucket.config.key)
        except PreconditionFailedError:
            raise self._fence.close(StateLockLostError, "another run wrote to this journal") from None
        except StateUnreachableError as error:
            raise self._fence.close(StateUnwritableError, _detail(error)) from None
        if etag != before.etag:
            raise self._fence.close(StateLockLostError, "another run wrote the state")
        self._batch_count += 1
        self._last = (first_seq, lines)

    @override
    def write_snapshot(self, text: bytes, serial: int) -> None:
        before = self._writable()
        if before.document is not None and before.document.writer != self._writer:
            self._claim(next_write(before.document, self._writer))
            before = self._writable()
        written = before.document.serial if before.document else 0
        document = replace(new_document(text, self._writer, written + 1), journal=uuid4().hex, journal_serial=serial)
        self._put(document, before.etag)
        self._remove_other_journals(document.journal)

    @override
    def release(self) -> None:
        if not self._released:
            self._released = True
            self._lock.release()
            self._bucket.close()

    def _writable(self) -> S3Contents:
        """Return the contents last read or written. Raises if writing is no longer allowed."""
        self._fence.check()
        if self._known is None:
            self.read()
        if reason := self._lock.check():
            raise self._fence.close(StateLockLostError if self._lock.lost else StateUnwritableError, reason)
        return self._known or S3Contents()

    def _claim(self, document: StateDocument) -> None:
        """Replace the document of another writer by ``document``, and verify that its journal has not changed.

        The other run may have been suspended, and may have written between our read and our claim; those lines must not be lost.
        """
        before = self._known or S3Contents()
        self._put(document, before.etag, batches=before.batches)
        if before.document is None or before.document.writer == NO_WRITER:
            return
        try:
            keys = self._bucket.keys(journal_prefix(self._bucket, before.document.journal))
        except StateUnreachableError as error:
            raise self._fence.close(StateUnwritableError, _detail(error)) from None
        if keys != before.batch_keys:
            raise self._fence.close(StateLockLostError, "another run wrote to the journal after this run had read it")

    def _put(self, document: StateDocument, etag: str | None, batches: tuple[tuple[str, bytes], ...] = ()) -> None:
        try:
            new_etag = self._bucket.put(self._bucket.config.key, encode_document(document), etag)
        except PreconditionFailedError:
            raise self._fence.close(StateLockLostError, "the state was changed after this run had read it") from None
        except StateUnreachableError as error:
            raise self._fence.close(StateUnwritableError, _detail(error)) from None
        same_journal = self._known is not None and document.journal == (self._known.document or document).journal
        self._known = S3Contents(document, new_etag, batches if same_journal else ())
        self._batch_count = len(self._known.batches)
        self._last = None

    def _remove_other_journals(self, name: str) -> None:
        """Remove the journals that are no longer read; any left after an error are removed the next time."""
        own = journal_prefix(self._bucket, name)
        with suppress(PragmaspecError):
            keys = self._bucket.keys(journal_prefix(self._bucket))
            self._bucket.delete_all([key for key in keys if not key.startswith(own)])


def _detail(error: PragmaspecError) -> str:
    return error.problems[0].detail
