import json

from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.state.backends.base import LockHolder
from pragmaspec.state.backends.lock_info import decode_lock_info, encode_lock_info, forced_unlock_body, locked_error

HOLDER = LockHolder(pid=7, user="anna", host="desk", since="2026-01-02T03:04:05+00:00", command="apply", id="one")


def test_the_lock_info_has_all_seven_terraform_fields():
    assert json.loads(encode_lock_info(HOLDER)) == {
        "ID": "one",
        "Operation": "OperationTypeApply",
        "Info": "process 7: apply",
        "Who": "anna@desk",
        "Version": json.loads(encode_lock_info(HOLDER))["Version"],
        "Created": "2026-01-02T03:04:05+00:00",
        "Path": "",
    }
    assert set(json.loads(forced_unlock_body("one"))) == set(json.loads(encode_lock_info(HOLDER)))
    assert json.loads(forced_unlock_body("one"))["ID"] == "one"
    assert forced_unlock_body("") == b""


def test_a_holder_round_trips():
    assert decode_lock_info(encode_lock_info(HOLDER)).holder == HOLDER


def test_a_lock_of_terraform_is_understood():
    text = (
        b'{"ID":"5e6c1f0e","Operation":"OperationTypePlan","Info":"","Who":"bert@ci","Version":"1.9.0",'
        b'"Created":"2026-01-02T03:04:05.678Z","Path":""}'
    )
    note = decode_lock_info(text)
    assert note.readable
    assert (note.holder.user, note.holder.host, note.holder.command) == ("bert", "ci", "OperationTypePlan")


@given(
    st.one_of(
        st.binary(max_size=3000), st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
    )
)
def test_any_text_is_shown_as_one_printable_line(data):
    note = decode_lock_info(data)
    words = str(locked_error("https://h/x", note, "Wait."))
    assert words.isprintable() or "\ufffd" in words or all(letter.isprintable() or ord(letter) > 127 for letter in words)
    assert len(words) < 1000


def test_terminal_control_sequences_are_removed():
    data = json.dumps({"ID": "x", "Who": "a\x1b]0;owned\x07@h\u202e", "Info": "b\nc"}).encode()
    words = str(locked_error("https://h/x", decode_lock_info(data), "Wait."))
    assert words.isprintable()
