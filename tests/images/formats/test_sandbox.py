import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.formats.sandbox import Limits, run_sandboxed


def test_a_sandboxed_program_has_no_environment_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret")
    result = run_sandboxed("sh", ["-c", "env; grep -c : /proc/net/dev"], Limits(cpu_s=10))
    assert "CANARY" not in result.output
    assert result.output.splitlines()[-1] == "1", "the loopback interface alone"


def test_time_memory_and_file_size_are_limited(tmp_path: object) -> None:
    limits = Limits(cpu_s=1, file_bytes=4096, memory_bytes=2**30)
    result = run_sandboxed("sh", ["-c", "ulimit -t; ulimit -v; ulimit -f; ulimit -c"], limits)
    assert result.output.split() == ["1", str(2**20), "8", "0"]
    assert run_sandboxed("sh", ["-c", "while :; do :; done"], limits).status == -9
    assert run_sandboxed("dd", ["if=/dev/zero", f"of={tmp_path}/file", "bs=8192", "count=1"], limits).status != 0


def test_output_is_reported_as_it_arrives() -> None:
    output: list[str] = []
    result = run_sandboxed("sh", ["-c", "echo one; echo two >&2; exit 3"], Limits(cpu_s=10), output.append)
    assert (result.status, result.output) == (3, "one\ntwo\n")
    assert "".join(output) == result.output


def test_a_program_that_prints_nothing_is_killed_at_the_deadline() -> None:
    result = run_sandboxed("sleep", ["60"], Limits(cpu_s=1), lambda _: None)
    assert (result.status, result.output) == (-9, "it took too long")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ImageError, match="no-such-program"):
        run_sandboxed("no-such-program", [], Limits(cpu_s=1))
