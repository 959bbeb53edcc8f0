"""One document that holds a whole state on a server: the snapshot, the journal since, and how often it was written. Pure.

::

    {"format":1,"kind":"pragmaspec","lineage":"…","serial":7,"writer":"…","written":"…",
     "journal_serial":3,"journal":"<lines, or the name of where they are>","snapshot":"<text of state.json>"}

``serial`` counts writes, so that it grows also when only the journal does: GitLab takes each serial once. It is not the serial
of the state, which is inside of the snapshot. ``writer`` is the lock under which the document was written. The top-level names
``ID``, ``id`` and ``name`` must not be used: GitLab reads the body as parameters of the request.
"""

from datetime import UTC, datetime
from typing import Literal

import msgspec

from pragmaspec.errors import StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.state.backends.base import JournalText, RawState

DOCUMENT_FORMAT = 1


class StateDocument(Frozen, frozen=True):
    """What stands on the server. Nothing is optional: omitted defaults would hide what was meant."""

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
    """What every snapshot, also an encrypted one, says in clear."""

    lineage: str
    serial: int


class _Head(msgspec.Struct):
    format: int = 0
    kind: str = ""
    terraform_version: str = ""


def new_document(snapshot: bytes, writer: str, serial: int) -> StateDocument:
    """A document with ``snapshot`` and no journal."""
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
    """Lineage and serial of ``snapshot``, which this program wrote."""
    return msgspec.json.decode(snapshot, type=SnapshotHeader)


def timestamp() -> str:
    """The time, for people: RFC 3339, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def encode_document(document: StateDocument) -> bytes:
    """The text of ``document``."""
    return msgspec.json.encode(document)


def decode_document(data: bytes, title: str) -> StateDocument:
    """The document in ``data``, found at ``title``. Raises StateUnreadableError with what is there instead."""
    try:
        document = msgspec.json.decode(data, type=StateDocument)
        document.snapshot.encode(), document.journal.encode()
        sound = document.format == DOCUMENT_FORMAT
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        sound = False
    if not sound:
        raise _unreadable(data, title)
    return document


def raw_state(document: StateDocument | None, title: str) -> RawState:
    """``document`` as the layers above know it."""
    if document is None:
        return RawState(name=title)
    journal = JournalText(document.journal_serial, f"{title} (journal)", document.journal.encode())
    return RawState(title, document.snapshot.encode(), (journal,) if document.journal else ())


def _unreadable(data: bytes, title: str) -> StateUnreadableError:
    if data.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return _problem(
            "The server sent a web page instead of a state",
            f"{title} answers with a page: a login, an error or another service. Check the URL and the credentials.",
        )
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        head = _Head()
    if head.terraform_version:
        return _problem(
            "There is a state of another program",
            f"{title} holds a state that Terraform {head.terraform_version} (or OpenTofu) wrote. Choose another name for this "
            "stack.",
        )
    if head.kind == "pragmaspec" and head.format > DOCUMENT_FORMAT:
        return _problem(
            "The state has a newer format",
            f"{title} has format {head.format}; this pragmaspec reads formats up to {DOCUMENT_FORMAT}. Install the version that "
            "wrote it, or a later one.",
        )
    return _problem(
        "The state is damaged",
        f"{title} holds {len(data)} bytes that are not a state of pragmaspec, or were cut off or changed. Put back an earlier "
        "version with the server's own tools, then run `pragmaspec plan`.",
    )


def _problem(summary: str, detail: str) -> StateUnreadableError:
    return StateUnreadableError(summary, f"{detail} Nothing was changed.")
