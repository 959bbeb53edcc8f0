"""Commands of the ``lab`` program for a lab that is not built. They neither need nor touch another lab."""

import fcntl
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.labs.openstack.lab import PROGRAM, access, run_lab

SCRIPTS = sorted([PROGRAM, *PROGRAM.parent.rglob("*.sh")])


def test_without_a_command_it_explains_itself(tmp_path: Path) -> None:
    environment = {**os.environ, "LAB_DIR": str(tmp_path / "lab")}
    done = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=False)
    commands = re.findall(r"^  lab (\w+)", done.stdout, re.MULTILINE)
    assert (done.returncode, commands) == (2, ["build", "up", "down", "wipe", "purge", "status", "sh", "console"])
    assert not (tmp_path / "lab").exists()


def test_a_lab_that_was_never_built_is_down(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    assert run_lab(directory, "down", "unused", limit_s=60) == "down\n"
    with pytest.raises(RuntimeError, match=r"lab status failed \(1\):\ndown"):
        run_lab(directory, "status", limit_s=60)
    with pytest.raises(FileNotFoundError):
        access(directory)
    assert not directory.exists()


def test_the_pid_of_another_process_is_not_taken_for_the_lab(tmp_path: Path) -> None:
    (tmp_path / "lab.pid").write_text(f"{os.getpid()}\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="down"):
        run_lab(tmp_path, "status", limit_s=60)
    assert run_lab(tmp_path, "down", limit_s=60) == "down\n"
    assert not (tmp_path / "lab.pid").exists()


def test_a_limit_ends_the_program_and_its_children(tmp_path: Path) -> None:
    lock = tmp_path / "lab.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (tmp_path / "lab").mkdir()
        with pytest.raises(subprocess.TimeoutExpired):
            run_lab(tmp_path / "lab", "down", limit_s=0.5)
        fcntl.flock(file, fcntl.LOCK_UN)
        fcntl.flock(file, fcntl.LOCK_EX)


def test_access_follows_the_networks_of_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_CAMPUS", raising=False)
    (tmp_path / "clouds.yaml").write_text("clouds:\n  a:\n    auth:\n      auth_url: http://10.1.8.1:5000/v3\n", encoding="utf-8")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_EC2")
    (tmp_path / "ec2.env").write_text("".join(f"{name}={name.lower()}=\n" for name in names), encoding="utf-8")
    lab = access(tmp_path)
    assert (str(lab.public), str(lab.campus), lab.ec2_secret_key) == ("10.1.8.0/24", "10.1.9.0/24", "aws_secret_access_key=")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_complete(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
