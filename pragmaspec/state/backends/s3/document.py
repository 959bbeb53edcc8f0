"""The document of a state in S3 and the journal that it names: reading both as of one moment, and changing the first safely."""

from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import StateUnreachableError, StateUnreadableError
from pragmaspec.state.backends.base import JournalText, RawState
from pragmaspec.state.backends.document import StateDocument, decode_document, encode_document, timestamp
from pragmaspec.state.backends.s3.bucket import Bucket, PreconditionFailedError

NO_WRITER = ""
"""The ``writer`` of a document whose last run has been fenced out."""
_READS = 5
_FENCES = 50
_NUMBER_DIGITS = 12


class S3Contents(NamedTuple):
    """What stood there at one moment: the document with its ETag, and the batches of its journal by key."""

    document: StateDocument | None = None
    etag: str | None = None
    batches: tuple[tuple[str, bytes], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Where the batches stand."""
        return tuple(key for key, _ in self.batches)

    def stored(self, title: str) -> RawState:
        """As the layers above know it."""
        if self.document is None:
            return RawState(name=title)
        data = b"".join(batch for _, batch in self.batches)
        journal = JournalText(self.document.journal_serial, f"{title} (journal)", data)
        return RawState(title, self.document.snapshot.encode(), (journal,) if data else ())


def read_contents(bucket: Bucket) -> S3Contents:
    """Document and journal of one moment. Raises StateUnreadableError and StateUnreachableError."""
    for _ in range(_READS):
        item = bucket.get(bucket.place.key)
        if item is None:
            return S3Contents()
        document = decode_document(item.body, bucket.place.title)
        keys = bucket.keys(journal_prefix(bucket, document.journal))
        batches = [(key, batch.body) for key, batch in zip(keys, bucket.get_all(keys), strict=True) if batch is not None]
        if bucket.etag(bucket.place.key) == item.etag:
            _check_whole(bucket, document, tuple(key for key, _ in batches))
            return S3Contents(document, item.etag, tuple(batches))
    raise StateUnreadableError(
        "The state keeps changing",
        f"{bucket.place.title} was written by another run each time it was read. Try again when that run has ended.",
    )


def fence_out(bucket: Bucket) -> None:
    """See that no run which now believes to hold the state can write to it any more. Raises StateUnreachableError."""
    for _ in range(_FENCES):
        item = bucket.get(bucket.place.key)
        if item is None:
            return
        document = decode_document(item.body, bucket.place.title)
        try:
            bucket.put(bucket.place.key, encode_document(next_write(document, NO_WRITER)), item.etag)
        except PreconditionFailedError:
            continue  # it was quicker this once
        return
    raise StateUnreachableError(
        "The lock cannot be taken away",
        f"{bucket.place.title} was written by its holder each time. It is alive: stop it, then try again.",
    )


def next_write(document: StateDocument, writer: str) -> StateDocument:
    """``document`` as the next write of ``writer``, so that its ETag is another."""
    return replace(document, serial=document.serial + 1, writer=writer, written=timestamp())


def journal_prefix(bucket: Bucket, name: str = "") -> str:
    """Where the batches of the journal ``name`` stand; of all journals without a name."""
    return f"{bucket.place.key}.journal/" + (f"{name}/" if name else "")


def batch_key(bucket: Bucket, name: str, number: int) -> str:
    """Where batch ``number`` (from 1) of the journal ``name`` stands."""
    return f"{journal_prefix(bucket, name)}{number:0{_NUMBER_DIGITS}d}"


def _check_whole(bucket: Bucket, document: StateDocument, keys: tuple[str, ...]) -> None:
    for number, key in enumerate(keys, 1):
        if key != batch_key(bucket, document.journal, number):
            raise StateUnreadableError(
                "The journal is damaged",
                f"{bucket.place.title}: batch {number} of the journal is missing, and {key} is there: something other "
                "than pragmaspec removed or added objects. Put it back from the bucket's versions. Nothing was changed.",
            )
