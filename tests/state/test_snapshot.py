import json
import time
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given

from pragmaspec.errors import StateUnreadableError
from pragmaspec.state.snapshot import Snapshot, decode_snapshot, encode_snapshot
from pragmaspec.state_model import Record, State
from tests.state.samples import ALLOCATION, IMAGE, LINEAGE, NO_DEADLINE, node, states

FILE = "state/hello/state.json"
STATE = State(lineage=LINEAGE, serial=4).with_records(
    (Record(resource=IMAGE), Record(resource=ALLOCATION), Record(resource=node(-1)), Record(resource=node(0), status="pending"))
)


@NO_DEADLINE
@given(states())
def test_a_state_round_trips(state):
    snapshot = Snapshot(state=state, applied_seq=3, applied_sha256="0" * 64)
    assert decode_snapshot(encode_snapshot(snapshot), FILE) == snapshot


def test_the_text_is_fit_for_review(golden):
    text = encode_snapshot(Snapshot(state=STATE, applied_seq=17, applied_sha256="cd" * 32)).decode()
    assert json.loads(text)["serial"] == 4, "plain JSON"
    assert list(json.loads(text)) == sorted(json.loads(text))
    golden(Path(__file__).parent / "state.json", text)


def test_one_changed_record_is_one_changed_line():
    before = encode_snapshot(Snapshot(state=STATE)).splitlines()
    after = encode_snapshot(Snapshot(state=STATE.with_record(Record(resource=node(0))))).splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [line.split(b":")[0] for line in changed] == [b'{"resource"', b'"sha256"']


def test_the_checksum_can_be_checked_by_hand():
    text = encode_snapshot(Snapshot(state=STATE))
    rest = b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b'"sha256"'))
    assert json.loads(text)["sha256"] == sha256(rest).hexdigest()


def _resealed(text: bytes) -> bytes:
    """Return ``text`` with a matching checksum, as if another version had written it."""
    rest = b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b'"sha256"'))
    before, after = rest.split(b'"sites"')
    return before + b'"sha256": "%s",\n' % sha256(rest).hexdigest().encode() + b'"sites"' + after


TEXT = encode_snapshot(Snapshot(state=STATE))


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        (b"", "The state file is empty"),
        (b"\0" * 4096, "The state file is empty"),
        (TEXT[:-20], "The state file is cut off"),
        (TEXT.replace(b'"cpus":1', b'"cpus":2', 1), "The state is damaged"),
        (b'{"format": 1}\n', "The state is damaged"),
        (b"[1, 2]}", "The state is damaged"),
        (b"\xff\xfe not text }", "The state is damaged"),
        (TEXT.replace(b'"serial"', b"<<<<<<< HEAD\n=======\n>>>>>>> theirs\n", 1), "The state contains a git merge conflict"),
        (TEXT.replace(b'"format": 2', b'"format": 3'), "The state has a newer format"),
        (_resealed(TEXT.replace(b'"format": 2', b'"format": 3')), "The state has a newer format"),
        (_resealed(TEXT.replace(b'"cpus":1', b'"cpus":"1"', 1)), "The state is not in a known format"),
        (_resealed(TEXT.replace(b'"format": 2', b'"format": 0')), "The state is not in a known format"),
        (_resealed(TEXT.replace(b'"kind": "pragmaspec"', b'"kind": "terraform"')), "The state is not in a known format"),
        (_resealed(TEXT.replace(b"hello-compute-0", b"zzz-compute-0")), "The state is damaged"),
    ],
)
def test_an_unreadable_text_is_reported_with_cause_and_remedy(data, summary):
    with pytest.raises(StateUnreadableError) as caught:
        decode_snapshot(data, FILE)
    (problem,) = caught.value.problems
    assert problem.summary == summary
    assert FILE in problem.detail
    assert "Nothing was changed." in problem.detail


@pytest.mark.parametrize("length", range(0, len(TEXT) - 1, 7))
def test_every_truncation_is_refused(length):
    with pytest.raises(StateUnreadableError):
        decode_snapshot(TEXT[:length], FILE)


def test_older_formats_are_upgraded_step_by_step():
    old = _resealed(TEXT.replace(b'"format": 2', b'"format": 0').replace(b'"lineage"', b'"ancestry"'))

    def first(document):
        return {**{key: value for key, value in document.items() if key != "ancestry"}, "lineage": document["ancestry"]}

    assert decode_snapshot(old, FILE, {0: first, 1: dict}).state == STATE
    with pytest.raises(StateUnreadableError, match="cannot be upgraded to format 2"):
        decode_snapshot(old, FILE, {0: dict, 1: dict})


def test_a_state_of_format_1_is_read_as_it_is():
    old = _resealed(TEXT.replace(b'"format": 2', b'"format": 1'))
    assert decode_snapshot(old, FILE).state == STATE


def test_ten_thousand_records_are_fast():
    many = State(lineage=LINEAGE).with_records(
        Record(resource=node(index % 50, cluster=f"c{index // 50}"), outputs=(("uuid", LINEAGE),)) for index in range(10_000)
    )

    def once() -> float:
        began = time.process_time()
        decode_snapshot(encode_snapshot(Snapshot(state=many)), FILE)
        return time.process_time() - began

    assert min(once() for _ in range(5)) < 0.45, "about 0.13 s; three times that is a regression, not a busy machine"


def test_unknown_record_fields_are_refused():
    document = msgspec.json.decode(TEXT)
    document["records"][0]["surprise"] = 1
    text = encode_snapshot(Snapshot(state=STATE)).replace(b'{"resource"', b'{"surprise":1,"resource"', 1)
    with pytest.raises(StateUnreadableError, match="another version"):
        decode_snapshot(_resealed(text), FILE)
