"""The text of a journal: lines that are chained by digest, so that a torn end is told from damage in the middle. Pure.

One line is ``{"v":1,"seq":N,"prev":"…","t":"…","batch":B,"entry":{…},"sum":"…"}``: ``prev`` is the SHA-256 of the line before,
``sum`` that of this line without ``sum``, and ``batch`` the first ``seq`` of the lines that were written and synced together.
After a power loss any part of the last batch may be missing, also one from its middle, but nothing of an earlier batch:
so bad lines are a torn tail when they look torn (see :func:`_torn`) and no good line of a later batch follows them.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from pragmaspec.errors import StateUnreadableError
from pragmaspec.frozen import Frozen
from pragmaspec.state.journal_entries import JournalEntry
from pragmaspec.state.snapshot import NO_LINE

VERSION = 1

_SUM_LENGTH = len(b',"sum":""}') + 64
_SECTOR = 512
_ZEROS = re.compile(rb"\0+")
_ENCODER = msgspec.json.Encoder()


class Tail(Frozen, frozen=True):
    """Where a journal ends: the number and digest of its last good line."""

    seq: int = 0
    sha256: str = NO_LINE


class JournalLine(NamedTuple):
    """One good line: its number, the digest of the line before, its own digest, and what it says."""

    seq: int
    prev: str
    sha256: str
    entry: JournalEntry


class Journal(NamedTuple):
    """What was read: every good line, and where the good part ends."""

    links: tuple[JournalLine, ...]
    tail: Tail


class _Line(Frozen, frozen=True):
    v: int
    seq: int
    prev: str
    t: str
    batch: int
    entry: JournalEntry
    sum: str


class _Version(msgspec.Struct):
    v: int


_DECODER = msgspec.json.Decoder(_Line)


def encode_batch(entries: Sequence[JournalEntry], tail: Tail, time: str) -> tuple[bytes, Tail]:
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
    written = data.rstrip(b"\0")
    lines = written.split(b"\n")
    terminated, rest = lines[:-1], lines[-1]
    links: list[JournalLine] = []
    tail, offset = start, 0
    for number, text in enumerate(terminated):
        line = _good(text, file, number)
        if line is None:
            if not _torn(written, offset):
                raise _damaged(file, number, "its checksum does not fit, although it was written to its end")
            _refuse_unless_last(terminated[number:], tail.seq + 1, file, number)
            return Journal(links=tuple(links), tail=tail)
        if line.seq != tail.seq + 1 or line.prev != tail.sha256:
            raise _damaged(file, number, "it does not follow the line before it: a line is missing, doubled or moved")
        tail = Tail(seq=line.seq, sha256=sha256(text).hexdigest())
        links.append(JournalLine(line.seq, line.prev, tail.sha256, line.entry))
        offset += len(text) + 1
    # Perhaps only the newline is missing or wrong. The write may not have been acknowledged, but what it says is known.
    for text in (rest, rest[:-1]):
        line = _good(text, file, len(terminated))
        if line is not None and (line.seq, line.prev) == (tail.seq + 1, tail.sha256):
            tail = Tail(seq=line.seq, sha256=sha256(text).hexdigest())
            links.append(JournalLine(line.seq, line.prev, tail.sha256, line.entry))
            break
    return Journal(links=tuple(links), tail=tail)


def decode_lines(data: bytes, file: str) -> tuple[JournalLine, ...]:
    """The lines of one write in ``data`` (the content of ``file``), wherever in a journal they belong.

    Raises StateUnreadableError unless every one of them is good and follows the one before.
    """
    links: list[JournalLine] = []
    for number, text in enumerate(data.removesuffix(b"\n").split(b"\n")):
        line = _good(text, file, number)
        if line is None:
            raise _damaged(file, number, "its checksum does not fit")
        if links and (line.seq, line.prev) != (links[-1].seq + 1, links[-1].sha256):
            raise _damaged(file, number, "it does not follow the line before it: a line is missing, doubled or moved")
        links.append(JournalLine(line.seq, line.prev, sha256(text).hexdigest(), line.entry))
    return tuple(links)


def journal_end(data: bytes, file: str) -> Tail | None:
    """Where the journal in ``data`` ends, without knowing where it starts; None when nothing in it was ever acknowledged.

    Raises StateUnreadableError as :func:`decode_journal` does.
    """
    texts = data.rstrip(b"\0").split(b"\n")
    first = _good(texts[0], file, 0)
    if first is not None:
        start = Tail(seq=first.seq - 1, sha256=first.prev)
    else:
        # Torn, if everything else is of the same write; damaged, if what follows begins another.
        good = [line for at, text in enumerate(texts) if (line := _good(_after_zeros(text), file, at))]
        start = Tail(seq=min((line.batch - 1 - (line.seq == line.batch) for line in good), default=0))
    journal = decode_journal(data, file, start)
    return journal.tail if journal.links else None


def _after_zeros(text: bytes) -> bytes:
    """``text`` without what is missing before it, newline and all."""
    return text.rpartition(b"\0")[2]


def _good(text: bytes, file: str, number: int) -> _Line | None:
    """The line in ``text``, or None when its sum is wrong."""
    body, ending = text[:-_SUM_LENGTH], text[-_SUM_LENGTH:]
    if ending != b',"sum":"%s"}' % sha256(body + b"}").hexdigest().encode():
        return None
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise _foreign(text, file, number, error) from error


def _torn(written: bytes, offset: int) -> bool:
    """Whether what stands at ``offset``, where a bad line begins, can come from a write that a crash cut short.

    A journal is written into zeros, and a disk writes whole sectors: of a write that was cut short, sectors of zeros are left, or
    its end is missing. Anything else was damaged after it was written. No good line holds a zero byte.
    """
    if not written.endswith(b"\n"):
        return True
    return any(
        found.end() - found.start() > 1 or found.start() % _SECTOR == 0 or found.end() % _SECTOR == 0
        for found in _ZEROS.finditer(written, offset)
    )


def _refuse_unless_last(later: Sequence[bytes], missing: int, file: str, number: int) -> None:
    """Raise when a good line in ``later`` was written after line ``missing`` had been synced."""
    for offset, text in enumerate(later):
        line = _good(_after_zeros(text), file, number + offset)
        if line is not None and line.batch > missing:
            raise _damaged(file, number, "its checksum does not fit, and good lines that were written later follow")


def _damaged(file: str, number: int, what: str) -> StateUnreadableError:
    return StateUnreadableError(
        "The journal is damaged",
        f"{file}, line {number + 1}: {what}. Something other than pragmaspec, or the disk, changed the file. "
        f"Move {file} to a safe place and run `pragmaspec plan`: it starts from the last snapshot and shows what is at the "
        "sites with this stack's marks. Nothing was changed.",
    )


def _foreign(text: bytes, file: str, number: int, error: msgspec.MsgspecError) -> StateUnreadableError:
    version = msgspec.json.decode(text, type=_Version).v
    if version > VERSION:
        detail = f"{file}, line {number + 1} has version {version}; this pragmaspec reads versions up to {VERSION}."
    else:
        detail = f"{file}, line {number + 1} is whole, but this pragmaspec does not understand it: {error}."
    return StateUnreadableError(
        "The journal was written by another version of pragmaspec",
        f"{detail} Finish the interrupted run with the version that began it. Nothing was changed.",
    )
