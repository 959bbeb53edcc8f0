"""start-hypervisor and stop-hypervisor: a running daemon is left alone, and foreign processes are never ended."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor import QUICKSTART, RUN_DIRECTORY


def run(script: str, run_directory: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PRAGMASPEC_HYPERVISOR_RUN": str(run_directory)}
    return subprocess.run([QUICKSTART / script], env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.hypervisor
def test_start_hypervisor_leaves_a_running_daemon_alone(hypervisor, tmp_path):
    notes = {file.name: file.read_text() for file in RUN_DIRECTORY.glob("*.pid")}
    done = run("start-hypervisor", tmp_path / "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "qemu:///system responds" in done.stdout
    assert not (tmp_path / "run").exists(), "nothing was started"
    assert {file.name: file.read_text() for file in RUN_DIRECTORY.glob("*.pid")} == notes


def test_stop_hypervisor_without_a_start_does_nothing(tmp_path):
    done = run("stop-hypervisor", tmp_path / "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to do" in done.stdout


def test_stop_hypervisor_does_not_end_a_reused_process_id(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "tini.pid").write_text(f"{bystander.pid} 1\n")
        done = run("stop-hypervisor", tmp_path / "run")
        assert done.returncode == 0
        assert bystander.poll() is None
        bystander.kill()
    assert not (tmp_path / "run").exists()
