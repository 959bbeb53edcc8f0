import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.journal import Tail, decode_journal, encode_batch, journal_end
from pragmaspec.state.journal_entries import Begin, Bound, Done, Intent, JournalEntry
from pragmaspec.state_model import Record
from tests.state.samples import LINEAGE, NO_DEADLINE, node

FILE = "journal.3.jsonl"
TIME = "2026-01-02T03:04:05.678+00:00"
START = Tail(seq=7, sha256="ab" * 32)


def _entries(count: int, first: int = 0) -> list[JournalEntry]:
    return [Intent(op=f"{first + n}", verb="boot", resource=node(first + n)) for n in range(count)]


def _journal(*sizes: int) -> tuple[bytes, list[int], list[JournalEntry]]:
    """Return a journal of several batches, the end of each batch, and all entries."""
    data, tail, ends, entries = b"", START, [], []
    for size in sizes:
        batch = _entries(size, len(entries))
        text, tail = encode_batch(batch, tail, TIME)
        data += text
        ends.append(len(data))
        entries += batch
    return data, ends, entries


def _read(data: bytes) -> list[JournalEntry]:
    return [link.entry for link in decode_journal(data, FILE, START).lines]


@NO_DEADLINE
@given(st.lists(st.integers(1, 4), max_size=4), st.integers(0, 5000))
def test_a_journal_round_trips(sizes, room):
    data, _, entries = _journal(*sizes)
    assert _read(data + b"\0" * room) == entries


def test_a_truncated_journal_keeps_every_complete_batch():
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


def test_every_flipped_bit_is_refused_or_harmless():
    """Also in the last write and in the reserved space: a crash leaves zeros, or a missing end."""
    written, _, entries = _journal(1, 2, 1)
    data = written + b"\0" * 700
    refused = 0
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            try:
                assert _read(bytes(flipped)) == entries, f"bit {bit} of byte {position}"
            except StateUnreadableError:
                refused += 1
    assert refused > 7 * len(written)


def test_missing_doubled_and_swapped_lines_are_refused():
    data, _, _ = _journal(1, 1, 1, 1)
    first, second, third, fourth = data.splitlines(keepends=True)
    for wrong in (first + third + fourth, first + first + second, first + third + second + fourth, second + third):
        with pytest.raises(StateUnreadableError, match="does not follow"):
            _read(wrong)


def test_damage_is_reported_with_line_and_remedy():
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
def test_lines_of_another_version_are_not_mistaken_for_torn_lines(version, words):
    line = _sealed(b'{"v":%s,"seq":8,"prev":"%s","t":"","batch":8,"entry":{"type":"surprise"}' % (version, START.sha256.encode()))
    with pytest.raises(StateUnreadableError, match=words):
        _read(line)


def test_the_end_of_a_journal_is_found_without_its_start():
    data, ends, _ = _journal(2, 1)
    tail = decode_journal(data, FILE, START).tail
    assert journal_end(data + b'{"torn', FILE) == tail
    assert journal_end(b"\0\0", FILE) is None
    assert journal_end(b"\0" * 512 + data[512 : ends[0]], FILE) is None, "the first write was torn, so nothing was acknowledged"
    with pytest.raises(StateUnreadableError, match="later follow"):
        journal_end(b"\0" * 512 + data[512:], FILE)
    with pytest.raises(StateUnreadableError, match="later follow"):
        journal_end(b"\0" * ends[0] + data[ends[0] :], FILE)


@NO_DEADLINE
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.sets(st.integers(0, 9)))
def test_any_sectors_of_the_last_write_may_be_missing(sizes, missing):
    data, ends, entries = _journal(*sizes)
    start = ends[-2] if len(ends) > 1 else 0
    torn = bytearray(data + b"\0" * 1000)
    for sector in missing:
        first = (start // 512 + sector) * 512
        torn[max(first, start) : first + 512] = b"\0" * (first + 512 - max(first, start))
    kept = _read(bytes(torn))
    assert kept == entries[: len(kept)]
    assert len(kept) >= len(entries) - sizes[-1]


def test_every_entry_type_round_trips():
    entries: list[JournalEntry] = [
        Begin(lineage=LINEAGE, serial=3),
        *_entries(1),
        Bound(op="0", outputs=(("a", "b"),)),
        Done(op="0", record=Record(resource=node(0))),
    ]
    text, _ = encode_batch(entries, START, TIME)
    assert _read(text) == entries
