"""The text of ``state.json``: a state as JSON that git can review, and back. Pure; files are `store.local`'s business.

One record stands on one line, keys are sorted, and ``sha256`` covers every other line, so that anybody can check it::

    grep -v '^"sha256"' state.json | sha256sum
"""

import gc
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from pragmaspec.errors import StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.site import Site
from pragmaspec.state_model import STATE_FORMAT, ClosedOp, Record, State

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the document of one format into that of the next."""

UPGRADES: Mapping[int, Upgrade] = MappingProxyType({})
"""Format number → what makes the next format of it. Empty: there has been only one format."""

NO_LINE = "0" * 64
"""Stands for the digest of the last journal line before there was any."""

_DIGEST_LINE = re.compile(rb'"sha256": "([0-9a-f]{64})",\n')
_LINEAGE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_HEAD_BYTES = 300
_NUMBER_LINE = re.compile(rb'"(?:serial|format)": (\d+),?$', re.MULTILINE)
_CONFLICT = re.compile(rb"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)


class Snapshot(Frozen, frozen=True):
    """What ``state.json`` holds: a state, and how far into the journal it reaches.

    ``applied_seq`` and ``applied_sha256`` name the last journal line that is part of the state; 0 and zeros before the first.
    """

    state: State
    applied_seq: int = 0
    applied_sha256: str = NO_LINE


class _Document(Frozen, frozen=True):
    """The file, key by key."""

    applied_seq: int
    applied_sha256: str
    format: int
    kind: Literal["pragmaspec"]
    lineage: str
    records: tuple[Record, ...]
    serial: int
    sha256: str
    sites: tuple[Site, ...]
    closed_ops: tuple[ClosedOp, ...] = ()


class _Head(msgspec.Struct):
    """What every format, also a newer one, must carry."""

    format: int
    kind: str


_DECODER = msgspec.json.Decoder(_Document)
_ENCODER = msgspec.json.Encoder(order="sorted")


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The text of ``state.json``."""
    state = snapshot.state
    head = (
        b"{\n"
        + _line("applied_seq", snapshot.applied_seq)
        + _line("applied_sha256", snapshot.applied_sha256)
        + (_lines("closed_ops", state.closed_ops) + b",\n" if state.closed_ops else b"")
        + _line("format", state.format)
        + _line("kind", "pragmaspec")
        + _line("lineage", state.lineage)
        + _lines("records", state.records)
        + b",\n"
        + _line("serial", state.serial)
    )
    tail = _lines("sites", state.sites) + b"\n}\n"
    digest = sha256(head)
    digest.update(tail)
    return b"".join((head, _line("sha256", digest.hexdigest()), tail))


def format_of(data: bytes) -> int | None:
    """The format that a snapshot's text tells; None when it tells none."""
    found = _NUMBER_LINE.match(data, data.find(b'"format": '))
    return int(found[1]) if found else None


def serial_of(data: bytes) -> int | None:
    """The serial that a snapshot's text tells, also of a damaged or sealed one; None when it tells none."""
    found = _NUMBER_LINE.match(data, data.rfind(b'"serial": '))  # the text may have megabytes
    return int(found[1]) if found else None


def check_lineage(lineage: str, file: str) -> None:
    """Raise StateUnreadableError unless ``lineage`` can be part of a file's name: keys and marks are found by it."""
    if not _LINEAGE.fullmatch(lineage):
        raise _unreadable("The state is not in a known format", f"{file} has no lineage that this pragmaspec could have given.")


def is_encrypted(data: bytes) -> bool:
    """Whether ``data`` begins as an encrypted snapshot does."""
    return b'"sealed": "' in data[:_HEAD_BYTES]


def decode_snapshot(data: bytes, file: str, upgrades: Mapping[int, Upgrade] = UPGRADES) -> Snapshot:
    """The snapshot in ``data``, the content of ``file`` (named in errors only).

    Raises StateUnreadableError with what is wrong and the way out: for nothing at all, a git conflict, a truncated or edited
    text, a newer format.
    """
    # rfind and not a search line by line: the text may have megabytes.
    found = _DIGEST_LINE.match(data, data.rfind(b'\n"sha256": ') + 1)
    if found is None or not _intact(data, found):
        raise _explained(data, file)
    try:
        document = _decoded(data)
    except msgspec.MsgspecError as error:
        document = _upgraded(data, file, upgrades, error)
    if document.format != STATE_FORMAT:
        document = _upgraded(data, file, upgrades, None)
    return _checked(document, file)


def decode_edited(data: bytes, file: str) -> Snapshot:
    """As :func:`decode_snapshot`, for a text that a person may have edited: then its line ``sha256`` must be gone."""
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_snapshot(data, file)
    if found.keys().isdisjoint(("records", "sha256", "sealed")):
        detail = f"{file} is JSON, but not what `pragmaspec state pull` prints: it has no `records`. Nothing was changed."
        raise _unreadable("This is not a state", detail)
    if "records" not in found or "sha256" in found:
        return decode_snapshot(data, file)
    try:
        document = msgspec.convert({**found, "sha256": ""}, _Document)
    except msgspec.ValidationError as error:
        raise _unreadable(
            "The state is not in a known format", f"{file} is not a state of this pragmaspec: {error}. Nothing was changed."
        ) from error
    if document.format != STATE_FORMAT:
        return decode_snapshot(data, file)
    return _checked(document, file)


def _line(key: str, value: object) -> bytes:
    return b'"%s": %s,\n' % (key.encode(), _ENCODER.encode(value))


def _lines(key: str, values: tuple[Record, ...] | tuple[Site, ...] | tuple[ClosedOp, ...]) -> bytes:
    if not values:
        return b'"%s": []' % key.encode()
    return b'"%s": [\n%s\n]' % (key.encode(), b",\n".join([_ENCODER.encode(value) for value in values]))


def _intact(data: bytes, found: re.Match[bytes]) -> bool:
    view = memoryview(data)
    digest = sha256(view[: found.start()])
    digest.update(view[found.end() :])
    return digest.hexdigest().encode() == found.group(1)


def _decoded(data: bytes) -> _Document:
    # The garbage collector would walk the growing tuple of records again and again: a third of the time of a large state.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _DECODER.decode(data)
    finally:
        if enabled:
            gc.enable()


def _upgraded(data: bytes, file: str, upgrades: Mapping[int, Upgrade], error: msgspec.MsgspecError | None) -> _Document:
    """The document in today's format. ``error`` is what was wrong with reading it as such, if anything was."""
    number = _format(data)
    if number is not None and number > STATE_FORMAT:
        raise _unreadable(
            "The state has a newer format",
            f"{file} has format {number}; this pragmaspec reads formats up to {STATE_FORMAT}. "
            "Install the version that wrote it, or a later one. Nothing was changed.",
        )
    if number is None or number == STATE_FORMAT or any(step not in upgrades for step in range(number, STATE_FORMAT)):
        raise _unreadable(
            "The state is not in a known format",
            f"{file} is whole, but this pragmaspec does not understand it: {error or f'format {number} is not known'}. "
            "It was written by another version of pragmaspec; use that one. Nothing was changed.",
        )
    document = msgspec.json.decode(data, type=dict[str, Any])
    for step in range(number, STATE_FORMAT):
        document = {**upgrades[step](document), "format": step + 1}
    try:
        return msgspec.convert(document, _Document)
    except msgspec.MsgspecError as wrong:
        raise _unreadable(
            "The state is not in a known format",
            f"{file} has format {number} and could not be brought to format {STATE_FORMAT}: {wrong}. Nothing was changed.",
        ) from wrong


def _format(data: bytes) -> int | None:
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return head.format if head.kind == "pragmaspec" else None


def _checked(document: _Document, file: str) -> Snapshot:
    """The snapshot in ``document``, whose records must be in order: lookups rely on it."""
    addresses = [record.address for record in document.records]
    if any(left >= right for left, right in pairwise(addresses)):
        raise _unreadable(
            "The state is damaged",
            f"In {file} the records are not sorted by address, or one address has two records. {_WAY_OUT}",
        )
    check_lineage(document.lineage, file)
    state = State(
        lineage=document.lineage,
        serial=document.serial,
        sites=document.sites,
        records=document.records,
        closed_ops=document.closed_ops,
    )
    return Snapshot(state=state, applied_seq=document.applied_seq, applied_sha256=document.applied_sha256)


_WAY_OUT = (
    "Put back the last good version: `pragmaspec state history` shows what is kept, `pragmaspec state restore SERIAL` records it "
    "again; or take one from git (`git log -- FILE`, `git checkout COMMIT -- FILE`). Then run `pragmaspec plan`, which compares "
    "it with what is really there. Nothing was changed."
)


def _explained(data: bytes, file: str) -> StateUnreadableError:
    """Why ``data``, whose checksum is not right, cannot be read."""
    if not data.strip(b"\x00 \t\r\n"):
        return _unreadable(
            "The state file is empty",
            f"{file} is there but holds nothing. An absent state is an empty one, but an empty file means that something cut "
            f"it off, so what was made is not known. {_WAY_OUT}",
        )
    if _CONFLICT.search(data):
        return _unreadable(
            "The state holds a git merge conflict",
            f"{file} has conflict markers: two people applied from different copies, and a state cannot be merged line by line. "
            "Take one side whole (`git checkout --ours FILE` or `--theirs`), then run `pragmaspec plan`: what the other side "
            "made is found at the site by its marks and shown. Nothing was changed.",
        )
    if not data.rstrip().endswith(b"}"):
        return _unreadable("The state file is cut off", f"{file} ends in the middle after {len(data)} bytes. {_WAY_OUT}")
    number = _format(data)
    if number is not None and number > STATE_FORMAT:
        return _unreadable(
            "The state has a newer format",
            f"{file} has format {number}; this pragmaspec reads formats up to {STATE_FORMAT}. "
            "Install the version that wrote it, or a later one. Nothing was changed.",
        )
    return _unreadable(
        "The state is damaged",
        f"The checksum in {file} does not fit its content: it was edited by hand, or the disk or a tool changed it. {_WAY_OUT}",
    )


def _unreadable(summary: str, detail: str) -> StateUnreadableError:
    return StateUnreadableError(summary, detail)
