"""start-hypervisor and stop-hypervisor: what answers is left alone, and what is not ours is never ended."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor import QUICKSTART, RUN_DIRECTORY


def run(script: str, run_directory: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PRAGMASPEC_HYPERVISOR_RUN": str(run_directory)}
    return subprocess.run([QUICKSTART / script], env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.hypervisor
def test_starting_what_answers_starts_and_makes_nothing(hypervisor, tmp_path):
    notes = {file.name: file.read_text() for file in RUN_DIRECTORY.glob("*.pid")}
    done = run("start-hypervisor", tmp_path / "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "qemu:///system answers" in done.stdout
    assert not (tmp_path / "run").exists(), "nothing was started, so there is nothing to stop"
    assert {file.name: file.read_text() for file in RUN_DIRECTORY.glob("*.pid")} == notes


def test_stopping_when_nothing_was_started_does_nothing(tmp_path):
    done = run("stop-hypervisor", tmp_path / "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to do" in done.stdout


def test_a_process_that_took_over_a_noted_number_is_not_ended(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "tini.pid").write_text(f"{bystander.pid} 1\n")
        done = run("stop-hypervisor", tmp_path / "run")
        assert done.returncode == 0
        assert bystander.poll() is None
        bystander.kill()
    assert not (tmp_path / "run").exists()
