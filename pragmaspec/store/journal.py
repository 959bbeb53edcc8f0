"""The text of a journal: lines that are chained by digest, so that a torn end is told from damage in the middle. Pure.

One line is ``{"v":1,"seq":N,"prev":"…","t":"…","batch":B,"entry":{…},"sum":"…"}``: ``prev`` is the SHA-256 of the line before,
``sum`` that of this line without ``sum``, and ``batch`` the first ``seq`` of the lines that were written and synced together.
After a power loss any part of the last batch may be missing, also one from its middle, but nothing of an earlier batch:
so bad lines are a torn tail exactly when no good line of a later batch follows them.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from pragmaspec.errors import Problem, StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.store.entry import Entry
from pragmaspec.store.snapshot import NO_LINE

VERSION = 1

_SUM_LENGTH = len(b',"sum":""}') + 64
_ENCODER = msgspec.json.Encoder()


class Tail(Frozen, frozen=True):
    """Where a journal ends: the number and digest of its last good line."""

    seq: int = 0
    sha256: str = NO_LINE


class Journal(Frozen, frozen=True):
    """What was read: every good entry with its number, and where the good part ends."""

    entries: tuple[tuple[int, Entry], ...]
    tail: Tail


class _Line(Frozen, frozen=True):
    v: int
    seq: int
    prev: str
    t: str
    batch: int
    entry: Entry
    sum: str


class _Version(msgspec.Struct):
    v: int


_DECODER = msgspec.json.Decoder(_Line)


def encode_batch(entries: Sequence[Entry], tail: Tail, time: str) -> tuple[bytes, Tail]:
    """The lines of one write after ``tail``, and the new tail. ``time`` is RFC 3339, for people only: order is by ``seq``."""
    lines: list[bytes] = []
    batch, seq, prev = tail.seq + 1, tail.seq, tail.sha256
    for entry in entries:
        seq += 1
        body = b'{"v":%d,"seq":%d,"prev":"%s","t":"%s","batch":%d,"entry":%s' % (
            VERSION,
            seq,
            prev.encode(),
            time.encode(),
            batch,
            _ENCODER.encode(entry),
        )
        line = b'%s,"sum":"%s"}' % (body, sha256(body + b"}").hexdigest().encode())
        prev = sha256(line).hexdigest()
        lines.append(line + b"\n")
    return b"".join(lines), Tail(seq=seq, sha256=prev)


def decode_journal(data: bytes, file: str, start: Tail) -> Journal:
    """The journal in ``data`` (the content of ``file``), whose first line comes after ``start``.

    Zero bytes at the end are room that was set aside, and a torn tail is dropped. Raises StateUnreadableError when anything
    before it is bad: then lines that were acknowledged would be lost.
    """
    lines = data.rstrip(b"\0").split(b"\n")
    terminated, rest = lines[:-1], lines[-1]
    entries: list[tuple[int, Entry]] = []
    tail = start
    for number, text in enumerate(terminated):
        line = _good(text, file, number)
        if line is None:
            _refuse_unless_torn(terminated[number + 1 :], tail.seq + 1, file, number)
            return Journal(entries=tuple(entries), tail=tail)
        if line.seq != tail.seq + 1 or line.prev != tail.sha256:
            raise _damaged(file, number, "it does not follow the line before it: a line is missing, doubled or moved")
        tail = Tail(seq=line.seq, sha256=sha256(text).hexdigest())
        entries.append((line.seq, line.entry))
    whole = _good(rest, file, len(terminated))
    if whole is not None and whole.seq == tail.seq + 1 and whole.prev == tail.sha256:
        # Only the newline is missing. The write was not acknowledged, but what it says is known, so it is kept.
        tail = Tail(seq=whole.seq, sha256=sha256(rest).hexdigest())
        entries.append((whole.seq, whole.entry))
    return Journal(entries=tuple(entries), tail=tail)


def last_line(data: bytes) -> Tail | None:
    """Where the journal in ``data`` ends, without knowing where it starts; None when it has no good line."""
    for text in reversed(data.rstrip(b"\0").split(b"\n")):
        line = _good(text, "journal", 0)
        if line is not None:
            return Tail(seq=line.seq, sha256=sha256(text).hexdigest())
    return None


def _good(text: bytes, file: str, number: int) -> _Line | None:
    """The line in ``text``, or None when its sum is wrong."""
    body, ending = text[:-_SUM_LENGTH], text[-_SUM_LENGTH:]
    if ending != b',"sum":"%s"}' % sha256(body + b"}").hexdigest().encode():
        return None
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise _foreign(text, file, number, error) from error


def _refuse_unless_torn(later: Sequence[bytes], missing: int, file: str, number: int) -> None:
    """Raise when a good line in ``later`` was written after line ``missing`` had been synced."""
    for offset, text in enumerate(later):
        line = _good(text, file, number + 1 + offset)
        if line is not None and line.batch > missing:
            raise _damaged(file, number, "its checksum does not fit, and good lines that were written later follow")


def _damaged(file: str, number: int, what: str) -> StateUnreadableError:
    return StateUnreadableError(
        Problem(
            summary="The journal is damaged",
            detail=f"{file}, line {number + 1}: {what}. Something other than pragmaspec, or the disk, changed the file. "
            f"Move {file} to a safe place and run `pragmaspec plan`: it starts from the last snapshot and shows what is at the "
            "sites with this stack's marks. Nothing was changed.",
        )
    )


def _foreign(text: bytes, file: str, number: int, error: msgspec.MsgspecError) -> StateUnreadableError:
    version = msgspec.json.decode(text, type=_Version).v
    if version > VERSION:
        detail = f"{file}, line {number + 1} has version {version}; this pragmaspec reads versions up to {VERSION}."
    else:
        detail = f"{file}, line {number + 1} is whole, but this pragmaspec does not understand it: {error}."
    return StateUnreadableError(
        Problem(
            summary="The journal was written by another version of pragmaspec",
            detail=f"{detail} Finish the interrupted run with the version that began it. Nothing was changed.",
        )
    )
