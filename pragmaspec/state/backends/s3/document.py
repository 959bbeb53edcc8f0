"""The document of a state in S3 and its journal: consistent reads of both, and safe changes of the document."""

from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import StateUnreachableError, StateUnreadableError
from pragmaspec.state.backends.base import JournalText, RawState
from pragmaspec.state.backends.document import StateDocument, decode_document, encode_document, timestamp
from pragmaspec.state.backends.s3.bucket import Bucket, PreconditionFailedError

NO_WRITER = ""
"""The ``writer`` of a document whose last writer was fenced out."""
_READ_ATTEMPTS = 5
_FENCE_ATTEMPTS = 50
_NUMBER_DIGITS = 12


class S3Contents(NamedTuple):
    """The document at one moment, with its ETag and the batches of its journal by key."""

    document: StateDocument | None = None
    etag: str | None = None
    batches: tuple[tuple[str, bytes], ...] = ()

    @property
    def batch_keys(self) -> tuple[str, ...]:
        """The keys of the batches."""
        return tuple(key for key, _ in self.batches)

    def raw_state(self, title: str) -> RawState:
        """Return the contents as the content of the backend ``title``."""
        if self.document is None:
            return RawState(name=title)
        data = b"".join(batch for _, batch in self.batches)
        journal = JournalText(self.document.journal_serial, f"{title} (journal)", data)
        return RawState(title, self.document.snapshot.encode(), (journal,) if data else ())


def read_contents(bucket: Bucket) -> S3Contents:
    """Return document and journal of one moment. Raises StateUnreadableError and StateUnreachableError."""
    for _ in range(_READ_ATTEMPTS):
        item = bucket.get(bucket.config.key)
        if item is None:
            return S3Contents()
        document = decode_document(item.body, bucket.config.title)
        keys = bucket.keys(journal_prefix(bucket, document.journal))
        batches = [(key, batch.body) for key, batch in zip(keys, bucket.get_all(keys), strict=True) if batch is not None]
        if bucket.etag(bucket.config.key) == item.etag:
            _check_complete(bucket, document, tuple(key for key, _ in batches))
            return S3Contents(document, item.etag, tuple(batches))
    raise StateUnreadableError(
        "The state keeps changing",
        f"Another run wrote {bucket.config.title} during each attempt to read it. Try again when that run has ended.",
    )


def fence_out(bucket: Bucket) -> None:
    """Make every later write of the current writer fail. Raises StateUnreachableError."""
    for _ in range(_FENCE_ATTEMPTS):
        item = bucket.get(bucket.config.key)
        if item is None:
            return
        document = decode_document(item.body, bucket.config.title)
        try:
            bucket.put(bucket.config.key, encode_document(next_write(document, NO_WRITER)), item.etag)
        except PreconditionFailedError:
            continue  # the writer was faster this time
        return
    raise StateUnreachableError(
        "The lock cannot be broken",
        f"The holder wrote {bucket.config.title} during each attempt. It is alive: stop it, then try again.",
    )


def next_write(document: StateDocument, writer: str) -> StateDocument:
    """Return ``document`` as the next write of ``writer``, which changes its ETag."""
    return replace(document, serial=document.serial + 1, writer=writer, written=timestamp())


def journal_prefix(bucket: Bucket, name: str = "") -> str:
    """Return the key prefix of the batches of the journal ``name``, or of all journals."""
    return f"{bucket.config.key}.journal/" + (f"{name}/" if name else "")


def batch_key(bucket: Bucket, name: str, number: int) -> str:
    """Return the key of batch ``number`` (from 1) of the journal ``name``."""
    return f"{journal_prefix(bucket, name)}{number:0{_NUMBER_DIGITS}d}"


def _check_complete(bucket: Bucket, document: StateDocument, keys: tuple[str, ...]) -> None:
    for number, key in enumerate(keys, 1):
        if key != batch_key(bucket, document.journal, number):
            raise StateUnreadableError(
                "The journal is damaged",
                f"{bucket.config.title}: batch {number} of the journal is missing, but {key} exists: another program removed or "
                "added objects. Restore the batch from the versions of the bucket. Nothing was changed.",
            )
