"""The text of a journal: lines chained by digest, so that a torn end is distinguished from damage in the middle.

One line is ``{"v":1,"seq":N,"prev":"…","t":"…","batch":B,"entry":{…},"sum":"…"}``: ``prev`` is the SHA-256 of the line before,
``sum`` that of this line without ``sum``, and ``batch`` the first ``seq`` of the lines that were written and synced together.
After a power loss any part of the last batch may be missing, even one from its middle, but nothing of an earlier batch. So bad
lines are a torn tail if they look torn (see :func:`_is_torn`) and no good line of a later batch follows them.
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
    """The end of a journal: number and digest of its last good line."""

    seq: int = 0
    sha256: str = NO_LINE


class JournalLine(NamedTuple):
    """A good line: its number, the digest of the line before, its own digest, and its entry."""

    seq: int
    prev: str
    sha256: str
    entry: JournalEntry


class Journal(NamedTuple):
    """All good lines of a journal, and where they end."""

    lines: tuple[JournalLine, ...]
    tail: Tail


class _EncodedLine(Frozen, frozen=True):
    v: int
    seq: int
    prev: str
    t: str
    batch: int
    entry: JournalEntry
    sum: str


class _Version(msgspec.Struct):
    v: int


_DECODER = msgspec.json.Decoder(_EncodedLine)


def encode_batch(entries: Sequence[JournalEntry], tail: Tail, time: str) -> tuple[bytes, Tail]:
    """Return the lines of one write after ``tail``, and the new tail.

    ``time`` is RFC 3339, for display only: the order is that of ``seq``.
    """
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
    """Return the journal in ``data``, the content of ``file``, whose first line follows ``start``.

    Zero bytes at the end are reserved space, and a torn tail is dropped. Raises StateUnreadableError if anything before it is
    bad: then acknowledged lines are lost.
    """
    written = data.rstrip(b"\0")
    texts = written.split(b"\n")
    terminated, rest = texts[:-1], texts[-1]
    lines: list[JournalLine] = []
    tail, offset = start, 0
    for number, text in enumerate(terminated):
        line = _decode_line(text, file, number)
        if line is None:
            if not _is_torn(written, offset):
                raise _damaged(file, number, "its checksum is wrong, although it was written to its end")
            _check_no_later_batch(terminated[number:], tail.seq + 1, file, number)
            return Journal(lines=tuple(lines), tail=tail)
        if line.seq != tail.seq + 1 or line.prev != tail.sha256:
            raise _damaged(file, number, _BROKEN_CHAIN)
        tail = Tail(seq=line.seq, sha256=sha256(text).hexdigest())
        lines.append(JournalLine(line.seq, line.prev, tail.sha256, line.entry))
        offset += len(text) + 1
    # Possibly only the newline is missing or wrong. The write may not have been acknowledged, but the line is known.
    for text in (rest, rest[:-1]):
        line = _decode_line(text, file, len(terminated))
        if line is not None and (line.seq, line.prev) == (tail.seq + 1, tail.sha256):
            tail = Tail(seq=line.seq, sha256=sha256(text).hexdigest())
            lines.append(JournalLine(line.seq, line.prev, tail.sha256, line.entry))
            break
    return Journal(lines=tuple(lines), tail=tail)


def decode_lines(data: bytes, file: str) -> tuple[JournalLine, ...]:
    """Return the lines of one write in ``data``, the content of ``file``, from any part of a journal.

    Raises StateUnreadableError unless all of them are good and each follows the one before.
    """
    lines: list[JournalLine] = []
    for number, text in enumerate(data.removesuffix(b"\n").split(b"\n")):
        line = _decode_line(text, file, number)
        if line is None:
            raise _damaged(file, number, "its checksum is wrong")
        if lines and (line.seq, line.prev) != (lines[-1].seq + 1, lines[-1].sha256):
            raise _damaged(file, number, _BROKEN_CHAIN)
        lines.append(JournalLine(line.seq, line.prev, sha256(text).hexdigest(), line.entry))
    return tuple(lines)


def journal_end(data: bytes, file: str) -> Tail | None:
    """Return the end of the journal in ``data``, whose start is not known; None if no line of it was acknowledged.

    Raises StateUnreadableError as :func:`decode_journal` does.
    """
    texts = data.rstrip(b"\0").split(b"\n")
    first = _decode_line(texts[0], file, 0)
    if first is not None:
        start = Tail(seq=first.seq - 1, sha256=first.prev)
    else:
        # Torn if all good lines are of the same write, damaged if one of them begins another.
        good = [line for at, text in enumerate(texts) if (line := _decode_line(_after_zeros(text), file, at))]
        start = Tail(seq=min((line.batch - 1 - (line.seq == line.batch) for line in good), default=0))
    journal = decode_journal(data, file, start)
    return journal.tail if journal.lines else None


def _after_zeros(text: bytes) -> bytes:
    """Return ``text`` after the missing sectors before it, which included a newline."""
    return text.rpartition(b"\0")[2]


def _decode_line(text: bytes, file: str, number: int) -> _EncodedLine | None:
    """Return the line in ``text``, None if its checksum is wrong. Raises StateUnreadableError for one of another version."""
    body, ending = text[:-_SUM_LENGTH], text[-_SUM_LENGTH:]
    if ending != b',"sum":"%s"}' % sha256(body + b"}").hexdigest().encode():
        return None
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise _other_version(text, file, number, error) from error


def _is_torn(written: bytes, offset: int) -> bool:
    """True if the bad line at ``offset`` can result from a write that a crash interrupted.

    A journal is written into zeros, and a disk writes whole sectors: an interrupted write leaves sectors of zeros, or lacks its
    end. Anything else is later damage. No good line contains a zero byte.
    """
    if not written.endswith(b"\n"):
        return True
    return any(
        found.end() - found.start() > 1 or found.start() % _SECTOR == 0 or found.end() % _SECTOR == 0
        for found in _ZEROS.finditer(written, offset)
    )


def _check_no_later_batch(later: Sequence[bytes], missing: int, file: str, number: int) -> None:
    """Raise if a good line in ``later`` was written after line ``missing`` had been synced."""
    for offset, text in enumerate(later):
        line = _decode_line(_after_zeros(text), file, number + offset)
        if line is not None and line.batch > missing:
            raise _damaged(file, number, "its checksum is wrong, and good lines that were written later follow")


_BROKEN_CHAIN = "it does not follow the line before it: a line is missing, doubled or moved"


def _damaged(file: str, number: int, reason: str) -> StateUnreadableError:
    return StateUnreadableError(
        "The journal is damaged",
        f"{file}, line {number + 1}: {reason}. Another program or the disk changed the file. Move {file} to a safe place and run "
        "`pragmaspec plan`: it starts from the last snapshot and shows which objects at the sites carry the marks of this stack. "
        "Nothing was changed.",
    )


def _other_version(text: bytes, file: str, number: int, error: msgspec.MsgspecError) -> StateUnreadableError:
    version = msgspec.json.decode(text, type=_Version).v
    if version > VERSION:
        reason = f"{file}, line {number + 1} has version {version}; this pragmaspec reads versions up to {VERSION}."
    else:
        reason = f"{file}, line {number + 1} is intact, but this pragmaspec does not understand it: {error}."
    return StateUnreadableError(
        "The journal was written by another version of pragmaspec",
        f"{reason} Finish the interrupted run with the version that began it. Nothing was changed.",
    )
