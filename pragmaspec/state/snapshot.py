"""The text of ``state.json``: a state as JSON that is fit for review in git.

There is one record per line, keys are sorted, and ``sha256`` covers every other line, so that it can be checked by hand::

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
from msgspec.structs import replace

from pragmaspec.errors import StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.site import Site
from pragmaspec.state_model import STATE_FORMAT, ClosedOp, Record, State

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts the document of one format into that of the next."""


def _only_additions(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``document``: the next format has only more fields, whose defaults are right for this one."""
    return document


UPGRADES: Mapping[int, Upgrade] = MappingProxyType({1: _only_additions})
"""The upgrade from each format number. Format 2 added groups of nodes, processors, disks and volumes."""

NO_LINE = "0" * 64
"""In place of the digest of the last journal line, if there is none."""

_DIGEST_LINE = re.compile(rb'"sha256": "([0-9a-f]{64})",\n')
_LINEAGE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_HEAD_BYTES = 300
_NUMBER_LINE = re.compile(rb'"(?:serial|format)": (\d+),?$', re.MULTILINE)
_CONFLICT = re.compile(rb"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_UNKNOWN_FORMAT = "The state is not in a known format"
_UNCHANGED = "Nothing was changed."


class Snapshot(Frozen, frozen=True):
    """The content of ``state.json``: a state, and the last journal line that is part of it.

    ``applied_seq`` and ``applied_sha256`` are number and digest of that line; 0 and zeros before the first.
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


class _FormatHeader(msgspec.Struct):
    """The keys that every format has, including future ones."""

    format: int
    kind: str


_DECODER = msgspec.json.Decoder(_Document)
_ENCODER = msgspec.json.Encoder(order="sorted")


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the text of ``state.json``."""
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
    """Return the format number in the text of a snapshot, if any."""
    found = _NUMBER_LINE.match(data, data.find(b'"format": '))
    return int(found[1]) if found else None


def serial_of(data: bytes) -> int | None:
    """Return the serial in the text of a snapshot, also a damaged or encrypted one, if any."""
    found = _NUMBER_LINE.match(data, data.rfind(b'"serial": '))  # the text may have megabytes
    return int(found[1]) if found else None


def check_lineage(lineage: str, file: str) -> None:
    """Raise StateUnreadableError unless ``lineage`` is valid: it becomes part of file names."""
    if not _LINEAGE.fullmatch(lineage):
        raise StateUnreadableError(_UNKNOWN_FORMAT, f"{file} contains a lineage that no pragmaspec has assigned.")


def is_encrypted(data: bytes) -> bool:
    """True if ``data`` begins like an encrypted snapshot."""
    return b'"sealed": "' in data[:_HEAD_BYTES]


def decode_snapshot(data: bytes, file: str, upgrades: Mapping[int, Upgrade] = UPGRADES) -> Snapshot:
    """Return the snapshot in ``data``, the content of ``file``.

    Raises StateUnreadableError, with cause and remedy, for an empty, truncated or modified text, a git conflict and a newer
    format.
    """
    # rfind instead of a search by line: the text may have megabytes.
    found = _DIGEST_LINE.match(data, data.rfind(b'\n"sha256": ') + 1)
    if found is None or not _digest_matches(data, found):
        raise _damaged(data, file)
    try:
        document = _decode_fast(data)
    except msgspec.MsgspecError as error:
        document = _upgrade(data, file, upgrades, error)
    if document.format < STATE_FORMAT and all(
        upgrades.get(step) is _only_additions for step in range(document.format, STATE_FORMAT)
    ):
        document = replace(document, format=STATE_FORMAT)
    elif document.format != STATE_FORMAT:
        document = _upgrade(data, file, upgrades, None)
    return _to_snapshot(document, file)


def decode_edited(data: bytes, file: str) -> Snapshot:
    """Return the snapshot in ``data``, which may have been edited: then it has no line ``sha256``.

    Raises StateUnreadableError.
    """
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_snapshot(data, file)
    if found.keys().isdisjoint(("records", "sha256", "sealed")):
        detail = f"{file} is JSON, but not the output of `pragmaspec state pull`: it has no `records`. {_UNCHANGED}"
        raise StateUnreadableError("This is not a state", detail)
    if "records" not in found or "sha256" in found:
        return decode_snapshot(data, file)
    try:
        document = msgspec.convert({**found, "sha256": ""}, _Document)
    except msgspec.ValidationError as error:
        detail = f"{file} is not a state of this pragmaspec: {error}. {_UNCHANGED}"
        raise StateUnreadableError(_UNKNOWN_FORMAT, detail) from error
    if document.format != STATE_FORMAT:
        return decode_snapshot(data, file)
    return _to_snapshot(document, file)


def _line(key: str, value: object) -> bytes:
    return b'"%s": %s,\n' % (key.encode(), _ENCODER.encode(value))


def _lines(key: str, values: tuple[Record, ...] | tuple[Site, ...] | tuple[ClosedOp, ...]) -> bytes:
    if not values:
        return b'"%s": []' % key.encode()
    return b'"%s": [\n%s\n]' % (key.encode(), b",\n".join([_ENCODER.encode(value) for value in values]))


def _digest_matches(data: bytes, found: re.Match[bytes]) -> bool:
    view = memoryview(data)
    digest = sha256(view[: found.start()])
    digest.update(view[found.end() :])
    return digest.hexdigest().encode() == found.group(1)


def _decode_fast(data: bytes) -> _Document:
    # The garbage collector would traverse the growing tuple of records repeatedly: a third of the time for a large state.
    enabled = gc.isenabled()
    gc.disable()
    try:
        return _DECODER.decode(data)
    finally:
        if enabled:
            gc.enable()


def _upgrade(data: bytes, file: str, upgrades: Mapping[int, Upgrade], error: msgspec.MsgspecError | None) -> _Document:
    """Return the document in the current format. ``error`` is the error of decoding it as such, if any."""
    number = _format(data)
    if number is not None and number > STATE_FORMAT:
        raise _newer_format(number, file)
    if number is None or number == STATE_FORMAT or any(step not in upgrades for step in range(number, STATE_FORMAT)):
        raise StateUnreadableError(
            _UNKNOWN_FORMAT,
            f"{file} is intact, but this pragmaspec does not understand it: {error or f'format {number} is not known'}. "
            f"It was written by another version of pragmaspec; use that one. {_UNCHANGED}",
        )
    document = msgspec.json.decode(data, type=dict[str, Any])
    for step in range(number, STATE_FORMAT):
        document = {**upgrades[step](document), "format": step + 1}
    try:
        return msgspec.convert(document, _Document)
    except msgspec.MsgspecError as wrong:
        detail = f"{file} has format {number} and cannot be upgraded to format {STATE_FORMAT}: {wrong}. {_UNCHANGED}"
        raise StateUnreadableError(_UNKNOWN_FORMAT, detail) from wrong


def _format(data: bytes) -> int | None:
    try:
        head = msgspec.json.decode(data, type=_FormatHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return head.format if head.kind == "pragmaspec" else None


def _to_snapshot(document: _Document, file: str) -> Snapshot:
    """Return the snapshot in ``document``. Its records must be in order, because lookups rely on it."""
    addresses = [record.address for record in document.records]
    if any(left >= right for left, right in pairwise(addresses)):
        raise StateUnreadableError(
            "The state is damaged",
            f"The records in {file} are not sorted by address, or two records have one address. {_REMEDY}",
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


_REMEDY = (
    "Restore the last good version: `pragmaspec state history` lists those that are kept, `pragmaspec state restore SERIAL` "
    "records one again; or use one from git (`git log -- FILE`, `git checkout COMMIT -- FILE`). Then run `pragmaspec plan`, "
    f"which compares it with the sites. {_UNCHANGED}"
)


def _damaged(data: bytes, file: str) -> StateUnreadableError:
    """Return the error for ``data``, whose checksum is missing or wrong, with the most probable cause."""
    if not data.strip(b"\x00 \t\r\n"):
        return StateUnreadableError(
            "The state file is empty",
            f"{file} exists but is empty. Without a file the state would be empty, but an empty file was truncated, so it is not "
            f"known what was made. {_REMEDY}",
        )
    if _CONFLICT.search(data):
        return StateUnreadableError(
            "The state contains a git merge conflict",
            f"{file} contains conflict markers: two people applied from different copies, and a state cannot be merged by line. "
            "Take one side as a whole (`git checkout --ours FILE` or `--theirs`), then run `pragmaspec plan`: it finds what the "
            f"other side made by its marks at the site. {_UNCHANGED}",
        )
    if not data.rstrip().endswith(b"}"):
        return StateUnreadableError("The state file is cut off", f"{file} is truncated after {len(data)} bytes. {_REMEDY}")
    number = _format(data)
    if number is not None and number > STATE_FORMAT:
        return _newer_format(number, file)
    return StateUnreadableError(
        "The state is damaged",
        f"The checksum in {file} does not match its content: it was edited by hand, or changed by a program or the disk. "
        f"{_REMEDY}",
    )


def _newer_format(number: int, file: str) -> StateUnreadableError:
    return StateUnreadableError(
        "The state has a newer format",
        f"{file} has format {number}; this pragmaspec reads formats up to {STATE_FORMAT}. Install the version that wrote it, or "
        f"a later one. {_UNCHANGED}",
    )
