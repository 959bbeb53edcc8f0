"""A state in S3 whose lock this process holds."""

from contextlib import suppress
from uuid import uuid4

from msgspec.structs import replace

from pragmaspec.errors import PragmaspecError, StateLockLostError, StateUnreachableError, StateUnwritableError
from pragmaspec.state.backends.base import RawState, WriteFence
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


class LockedS3Backend:
    """Made by :meth:`pragmaspec.state.backends.s3.backend.S3Backend.lock`."""

    def __init__(self, bucket: Bucket, lock: S3Lock) -> None:
        self._bucket = bucket
        self._lock = lock
        self._me = lock.holder.id
        self._seen: S3Contents | None = None
        self._count = 0
        self._last: tuple[int, bytes] | None = None
        self._ending = WriteFence(bucket.place.title)
        self._released = False

    def read(self) -> RawState:
        """What stands there now. After a steal, the one who had the lock is fenced out first."""
        if self._lock.stolen and self._seen is None:
            fence_out(self._bucket)
        self._seen = read_contents(self._bucket)
        self._count = len(self._seen.batches)
        return self._seen.stored(self._bucket.place.title)

    def begin_journal(self, serial: int) -> None:
        """Make the document ours, with a new journal, unless it is already."""
        before = self._ready()
        if before.document is None:
            raise self._ending.close(StateUnwritableError, "there is no snapshot that a journal could extend")
        if before.document.writer == self._me and before.document.journal_serial == serial:
            return
        if before.batches:
            raise self._ending.close(StateUnwritableError, "there are journal lines that no snapshot covers")
        self._claim(replace(next_write(before.document, self._me), journal=uuid4().hex, journal_serial=serial))

    def append(self, lines: bytes, first_seq: int, room_bytes: int) -> None:
        """Put the lines as the next batch, then see that the document is still ours. No room can be set aside."""
        del room_bytes
        before = self._ready()
        if self._last == (first_seq, lines):
            return
        if before.document is None or before.document.writer != self._me:
            raise self._ending.close(StateUnwritableError, "no journal was begun")
        key = batch_key(self._bucket, before.document.journal, self._count + 1)
        try:
            self._bucket.put(key, lines, None)
            stands = self._bucket.etag(self._bucket.place.key)
        except PreconditionFailedError:
            raise self._ending.close(StateLockLostError, "another run wrote to this journal") from None
        except StateUnreachableError as error:
            raise self._ending.close(StateUnwritableError, _detail(error)) from None
        if stands != before.etag:
            raise self._ending.close(StateLockLostError, "another run has written the state")
        self._count += 1
        self._last = (first_seq, lines)

    def write_snapshot(self, text: bytes, serial: int) -> None:
        """Fence out whoever wrote the document before, then put the new one with a new, empty journal."""
        before = self._ready()
        if before.document is not None and before.document.writer != self._me:
            self._claim(next_write(before.document, self._me))
            before = self._ready()
        written = before.document.serial if before.document else 0
        document = replace(new_document(text, self._me, written + 1), journal=uuid4().hex, journal_serial=serial)
        self._put(document, before.etag)
        self._remove_other_journals(document.journal)

    def release(self) -> None:
        """Give the lock back."""
        if not self._released:
            self._released = True
            self._lock.release()
            self._bucket.close()

    def _ready(self) -> S3Contents:
        """What was read or written last, when it may still be written."""
        self._ending.check()
        if self._seen is None:
            self.read()
        if why := self._lock.check():
            raise self._ending.close(StateLockLostError if self._lock.lost else StateUnwritableError, why)
        return self._seen or S3Contents()

    def _claim(self, document: StateDocument) -> None:
        """Put ``document``, which is ours, in the place of another's, whose journal must still be as it was read.

        That other run may have slept, and written between our reading and our claim; what it wrote then must not be lost.
        """
        before = self._seen or S3Contents()
        self._put(document, before.etag, batches=before.batches)
        if before.document is None or before.document.writer == NO_WRITER:
            return
        try:
            found = self._bucket.keys(journal_prefix(self._bucket, before.document.journal))
        except StateUnreachableError as error:
            raise self._ending.close(StateUnwritableError, _detail(error)) from None
        if found != before.keys:
            raise self._ending.close(StateLockLostError, "another run has written to the journal since this one read it")

    def _put(self, document: StateDocument, etag: str | None, batches: tuple[tuple[str, bytes], ...] = ()) -> None:
        try:
            stands = self._bucket.put(self._bucket.place.key, encode_document(document), etag)
        except PreconditionFailedError:
            raise self._ending.close(StateLockLostError, "something else was written there since this run read it") from None
        except StateUnreachableError as error:
            raise self._ending.close(StateUnwritableError, _detail(error)) from None
        kept = bool(batches) and self._seen is not None and document.journal == (self._seen.document or document).journal
        self._seen = S3Contents(document, stands, batches if kept else ())
        self._count = len(self._seen.batches)
        self._last = None

    def _remove_other_journals(self, name: str) -> None:
        """Tidy up. What is left after an error is not read any more, and is removed the next time."""
        ours = journal_prefix(self._bucket, name)
        with suppress(PragmaspecError):
            keys = self._bucket.keys(journal_prefix(self._bucket))
            self._bucket.delete_all([key for key in keys if not key.startswith(ours)])


def _detail(error: PragmaspecError) -> str:
    return error.problems[0].detail
