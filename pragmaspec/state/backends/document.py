"""The document that holds a whole state on a server: the snapshot, the journal since, and the number of writes.

::

    {"format":1,"kind":"pragmaspec","lineage":"…","serial":7,"writer":"…","written":"…",
     "journal_serial":3,"journal":"<lines, or the name of where they are>","snapshot":"<text of state.json>"}

``serial`` counts the writes, so it also grows when only the journal does: GitLab accepts each serial once. It is not the serial
of the state, which is part of the snapshot. ``writer`` is the ID of the lock under which the document was written. The top-level
names ``ID``, ``id`` and ``name`` must not be used: GitLab reads the body as parameters of the request.
"""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from pragmaspec.errors import StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.state.backends.base import JournalText, RawState

DOCUMENT_FORMAT = 1


class StateDocument(Frozen, frozen=True):
    """The document, key by key. No key is optional: an omitted default would be ambiguous."""

    format: int
    kind: Literal["pragmaspec"]
    lineage: str
    serial: int
    writer: str
    written: str
    journal_serial: int
    journal: str
    snapshot: str


class SnapshotHeader(msgspec.Struct):
    """The cleartext keys of every snapshot, encrypted or not."""

    lineage: str
    serial: int


class _DocumentHeader(msgspec.Struct):
    format: int = 0
    kind: str = ""
    terraform_version: str = ""


def new_document(snapshot: bytes, writer: str, serial: int) -> StateDocument:
    """Return a document with ``snapshot`` and no journal."""
    return StateDocument(
        format=DOCUMENT_FORMAT,
        kind="pragmaspec",
        lineage=snapshot_header(snapshot).lineage,
        serial=serial,
        writer=writer,
        written=timestamp(),
        journal_serial=0,
        journal="",
        snapshot=snapshot.decode(),
    )


def snapshot_header(snapshot: bytes) -> SnapshotHeader:
    """Return lineage and serial of ``snapshot``, which this program wrote."""
    return msgspec.json.decode(snapshot, type=SnapshotHeader)


def timestamp() -> str:
    """Return the current time, for display: RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def encode_document(document: StateDocument) -> bytes:
    """Return the text of ``document``."""
    return msgspec.json.encode(document)


def decode_document(data: bytes, title: str) -> StateDocument:
    """Return the document in ``data``, read from ``title``. Raises StateUnreadableError, which describes other content."""
    try:
        document = msgspec.json.decode(data, type=StateDocument)
        document.snapshot.encode(), document.journal.encode()
        valid = document.format == DOCUMENT_FORMAT
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        valid = False
    if not valid:
        raise _unreadable_error(data, title)
    return document


def raw_state(document: StateDocument | None, title: str) -> RawState:
    """Return the content of ``document``, whose journal is inline."""
    if document is None:
        return RawState(name=title)
    journal = JournalText(document.journal_serial, f"{title} (journal)", document.journal.encode())
    return RawState(title, document.snapshot.encode(), (journal,) if document.journal else ())


def _unreadable_error(data: bytes, title: str) -> StateUnreadableError:
    if data.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return StateUnreadableError(
            "The server sent a web page instead of a state",
            f"{title} returned a page: a login form, an error or another service. Check the URL and the credentials. Nothing "
            "was changed.",
        )
    try:
        head = msgspec.json.decode(data, type=_DocumentHeader)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        head = _DocumentHeader()
    if head.terraform_version:
        return StateUnreadableError(
            "The state belongs to another program",
            f"{title} contains a state of Terraform {head.terraform_version} (or OpenTofu). Choose another name for this stack. "
            "Nothing was changed.",
        )
    if head.kind == "pragmaspec" and head.format > DOCUMENT_FORMAT:
        return StateUnreadableError(
            "The state has a newer format",
            f"{title} has format {head.format}; this pragmaspec reads formats up to {DOCUMENT_FORMAT}. Install the version that "
            "wrote it, or a later one. Nothing was changed.",
        )
    return StateUnreadableError(
        "The state is damaged",
        f"{title} contains {len(data)} bytes that are not a state of pragmaspec, or a truncated or modified one. Restore an "
        "earlier version with the tools of the server, then run `pragmaspec plan`. Nothing was changed.",
    )
