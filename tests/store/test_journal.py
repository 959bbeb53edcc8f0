import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import StateUnreadableError
from pragmaspec.recorded import Record
from pragmaspec.store.entry import Begin, Bound, Done, Entry, Intent
from pragmaspec.store.journal import Tail, decode_journal, encode_batch, last_line
from tests.store.samples import LINEAGE, PATIENT, node

FILE = "journal.3.jsonl"
TIME = "2026-01-02T03:04:05.678+00:00"
START = Tail(seq=7, sha256="ab" * 32)


def _entries(count: int, first: int = 0) -> list[Entry]:
    return [Intent(op=f"{first + n}", verb="boot", resource=node(first + n)) for n in range(count)]


def _journal(*sizes: int) -> tuple[bytes, list[int], list[Entry]]:
    """A journal of several batches, where each batch ends, and all its entries."""
    data, tail, ends, entries = b"", START, [], []
    for size in sizes:
        batch = _entries(size, len(entries))
        text, tail = encode_batch(batch, tail, TIME)
        data += text
        ends.append(len(data))
        entries += batch
    return data, ends, entries


def _read(data: bytes) -> list[Entry]:
    return [entry for _, entry in decode_journal(data, FILE, START).entries]


@PATIENT
@given(st.lists(st.integers(1, 4), max_size=4), st.integers(0, 5000))
def test_what_was_written_is_read(sizes, room):
    data, _, entries = _journal(*sizes)
    assert _read(data + b"\0" * room) == entries


def test_truncated_anywhere_it_keeps_every_batch_that_was_whole():
    data, ends, entries = _journal(2, 1, 3)
    for length in range(len(data) + 1):
        kept = _read(data[:length])
        assert kept == entries[: len(kept)]
        acknowledged = sum(size for size, end in zip((2, 1, 3), ends, strict=True) if end <= length)
        assert len(kept) >= acknowledged


def test_the_last_batch_may_be_torn_in_its_middle():
    data, ends, entries = _journal(2, 4)
    torn = bytearray(data)
    torn[ends[0] + 50 : ends[0] + 500] = b"\0" * 450
    assert _read(bytes(torn)) == entries[:2]


@PATIENT
@given(st.integers(0), st.integers(0, 7))
def test_a_flipped_bit_before_the_last_batch_is_refused_or_harmless(where, bit):
    data, ends, entries = _journal(1, 2, 1)
    position = where % ends[1]
    flipped = bytearray(data)
    flipped[position] ^= 1 << bit
    with pytest.raises(StateUnreadableError):
        assert _read(bytes(flipped)) != entries


def test_missing_doubled_and_swapped_lines_are_refused():
    data, _, _ = _journal(1, 1, 1, 1)
    first, second, third, fourth = data.splitlines(keepends=True)
    for wrong in (first + third + fourth, first + first + second, first + third + second + fourth, second + third):
        with pytest.raises(StateUnreadableError, match="does not follow"):
            _read(wrong)


def test_damage_names_the_line_and_the_way_out():
    data, _, _ = _journal(1, 1, 1)
    first, second, third = data.splitlines(keepends=True)
    with pytest.raises(StateUnreadableError, match=r"journal\.3\.jsonl, line 2.*Move .* safe place"):
        _read(first + second.replace(b"boot", b"BOOT") + third)


def _sealed(body: bytes) -> bytes:
    from hashlib import sha256

    return body + b',"sum":"' + sha256(body + b"}").hexdigest().encode() + b'"}\n'


@pytest.mark.parametrize(
    ("version", "words"), [(b"2", "has version 2; this pragmaspec reads versions up to 1"), (b"1", "does not understand it")]
)
def test_lines_of_another_version_are_not_taken_for_torn_ones(version, words):
    line = _sealed(b'{"v":%s,"seq":8,"prev":"%s","t":"","batch":8,"entry":{"type":"surprise"}' % (version, START.sha256.encode()))
    with pytest.raises(StateUnreadableError, match=words):
        _read(line)


def test_the_end_is_found_without_the_beginning():
    data, _, _ = _journal(2, 1)
    tail = decode_journal(data, FILE, START).tail
    assert last_line(data + b'{"torn') == tail
    assert last_line(b"\0\0") is None


def test_every_kind_of_entry_can_be_written():
    entries: list[Entry] = [
        Begin(lineage=LINEAGE, serial=3),
        *_entries(1),
        Bound(op="0", outputs=(("a", "b"),)),
        Done(op="0", record=Record(resource=node(0))),
    ]
    text, _ = encode_batch(entries, START, TIME)
    assert _read(text) == entries
