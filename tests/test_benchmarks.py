"""Benchmarks clean up on every exit."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROGRAM = """\
import subprocess, sys, time
from pathlib import Path
from measure import run
from scratch import scratch

def remove():
    print("removing", flush=True)
    while Path("wait").exists():
        time.sleep(0.01)
    Path("made").unlink(missing_ok=True)

with scratch(remove=remove) as folder:
    Path("made").touch()
    (folder / "disk.raw").touch()
    process = subprocess.Popen(["sh", "-c", "sleep 300 & wait"], start_new_session=True)
    print(process.pid, folder, flush=True)
    exec(sys.argv[1])
"""
LONG_COMMAND = "run(['sh', '-c', 'sleep 300; :'])"


class Bench:
    """A running benchmark in ``directory`` that has created a file, a folder, and a process with a child."""

    def __init__(self, directory: Path, work: str) -> None:
        (directory / "program.py").write_text(PROGRAM)
        self.directory = directory
        environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS), "TMPDIR": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "program.py", work]
        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._read_line() == "removing\n", "the remains of an earlier benchmark"
        pid, folder = self._read_line().split()
        self.child, self.folder = int(pid), Path(folder)

    def _read_line(self) -> str:
        stream: IO[str] | None = self.process.stdout
        assert stream is not None
        return stream.readline()

    def wait(self) -> tuple[int, str]:
        """Return exit status and standard error."""
        _, stderr = self.process.communicate(timeout=120)
        return self.process.returncode, stderr

    def remains(self) -> list[str]:
        """Return the process and folders of the run that still exist."""
        processes = [str(self.child)] if _runs(self.child) else []
        return processes + [path.name for path in (self.folder, self.directory / "made") if path.exists()]


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[type[Bench]]:
    made: list[Bench] = []

    class Kept(Bench):
        def __init__(self, work: str) -> None:
            super().__init__(tmp_path, work)
            made.append(self)

    yield Kept  # type: ignore[misc]  # the directory is given here
    for each in made:
        each.process.kill()
        each.process.wait(60)
        for stream in (each.process.stdout, each.process.stderr):
            stream.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_removes_everything(bench, number):
    one = bench(LONG_COMMAND)
    one.process.send_signal(number)
    status, stderr = one.wait()
    assert status == 128 + number
    assert stderr == f"ended by {number.name}; cleaning up\n"
    assert one.remains() == []


@pytest.mark.parametrize(
    ("work", "status"), [("pass", 0), ("1 / 0", 1), ("run(['false'])", 1), ("sys.exit(7)", 7), ("raise KeyboardInterrupt", -2)]
)
def test_every_exit_removes_everything(bench, work, status):
    one = bench(work)
    assert one.wait()[0] == status
    assert one.remains() == []


def test_a_second_signal_does_not_interrupt_the_removal(bench, tmp_path):
    one = bench(LONG_COMMAND)
    (tmp_path / "wait").touch()
    one.process.terminate()
    assert one._read_line() == "removing\n"
    one.process.terminate()
    one.process.send_signal(signal.SIGINT)
    (tmp_path / "wait").unlink()
    assert one.wait()[0] == 128 + signal.SIGTERM
    assert one.remains() == []


def test_the_next_benchmark_removes_the_remains_of_a_killed_one(bench):
    killed = bench(LONG_COMMAND)
    killed.process.kill()
    killed.process.wait(60)  # its child processes hold its pipes
    assert len(killed.remains()) == 3
    after = bench("pass")
    assert after.wait()[0] == 0
    assert killed.remains() == after.remains() == []


def test_a_process_that_ignores_signals_is_killed(bench):
    one = bench("""run(["sh", "-c", "trap '' TERM; echo $$ > stubborn; sleep 300; :"])""")
    stubborn = one.directory / "stubborn"
    while not (stubborn.exists() and stubborn.read_text()):
        assert one.process.poll() is None
    one.process.terminate()
    assert one.wait()[0] == 128 + signal.SIGTERM
    assert not _runs(int(stubborn.read_text()))
    assert one.remains() == []


def test_benchmarks_are_exclusive(bench, tmp_path):
    one = bench(LONG_COMMAND)
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "program.py", "pass"]
    other = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (other.returncode, other.stdout) == (1, "")
    assert "Another benchmark is running" in other.stderr
    assert len(one.remains()) == 3
    one.process.terminate()
    one.wait()


def test_every_benchmark_uses_a_scratch_directory():
    programs = [file for file in BENCHMARKS.glob("*.py") if 'if __name__ == "__main__"' in file.read_text()]
    assert len(programs) > 6
    for file in programs:
        text = file.read_text()
        assert "with scratch(" in text, file.name
        assert "TemporaryDirectory()" not in text, file.name
