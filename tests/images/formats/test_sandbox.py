import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.formats.sandbox import Limits, run_sandboxed


def test_a_program_has_no_environment_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret")
    ended = run_sandboxed("sh", ["-c", "env; grep -c : /proc/net/dev"], Limits(cpu_s=10))
    assert "CANARY" not in ended.said
    assert ended.said.splitlines()[-1] == "1", "the loopback interface alone"


def test_a_program_has_no_more_time_memory_and_room_than_it_was_given(tmp_path: object) -> None:
    limits = Limits(cpu_s=1, file_bytes=4096, memory_bytes=2**30)
    ended = run_sandboxed("sh", ["-c", "ulimit -t; ulimit -v; ulimit -f; ulimit -c"], limits)
    assert ended.said.split() == ["1", str(2**20), "8", "0"]
    assert run_sandboxed("sh", ["-c", "while :; do :; done"], limits).status == -9
    assert run_sandboxed("dd", ["if=/dev/zero", f"of={tmp_path}/file", "bs=8192", "count=1"], limits).status != 0


def test_what_it_says_is_heard_as_it_comes() -> None:
    heard: list[str] = []
    ended = run_sandboxed("sh", ["-c", "echo one; echo two >&2; exit 3"], Limits(cpu_s=10), heard.append)
    assert (ended.status, ended.said) == (3, "one\ntwo\n")
    assert "".join(heard) == ended.said


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(ImageError, match="no-such-program"):
        run_sandboxed("no-such-program", [], Limits(cpu_s=1))
