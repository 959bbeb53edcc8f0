"""``tests/run`` with stand-ins for pytest, the checks and the lab: the order of the parts, its status, and an end by signals."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run"
WAIT_LIMIT_S = 60
PYTEST = """\
#!/bin/bash
case "$*" in
*"-m openstack "*) part=openstack ;;
*"hypervisor or guest"*) part=hypervisor ;;
*--cov-branch*) part=pure ;;
*) part=quick ;;
esac
echo "part $part"
echo "$part" >>parts
[ ! -e "$part.waits" ] || { echo $$ >"$part.pid"; exec sleep 1000; }
[ ! -e "$part.fails" ]
"""
MAKEFILE = """\
lint types layers:
\t@echo $@ >>parts
\t@[ ! -e $@.fails ]
"""
LAB = """\
#!/bin/bash
echo "lab $*" >>parts
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with ``tests/run`` and the stand-ins."""
    for path, text in ((".venv/bin/pytest", PYTEST), ("tests/labs/openstack/lab", LAB)):
        file = tmp_path / path
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)
    shutil.copy(RUN, tmp_path / "tests" / "run")
    (tmp_path / "tests" / "test_any.py").touch()
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    return tmp_path


def run(checkout: Path) -> tuple[int, str, list[str]]:
    """Return status and output of the script, and the parts in the order of their start."""
    done = subprocess.run([checkout / "tests" / "run"], capture_output=True, text=True, timeout=WAIT_LIMIT_S, check=False)
    return done.returncode, done.stdout + done.stderr, (checkout / "parts").read_text(encoding="utf-8").splitlines()


def test_all_parts_run_and_the_output_of_openstack_is_last(checkout: Path) -> None:
    status, output, parts = run(checkout)
    assert status == 0
    assert output.endswith("part hypervisor\ntests on OpenStack:\npart openstack\n")
    assert parts.count("openstack") == 1
    others = [part for part in parts if part != "openstack"]
    assert others == ["lint", "types", "layers", "pure", "quick", "hypervisor", "lab down unused"]
    assert parts[-1] == "lab down unused"


@pytest.mark.parametrize("part", ["hypervisor", "openstack"])
def test_both_last_parts_count_and_both_run(checkout: Path, part: str) -> None:
    (checkout / f"{part}.fails").touch()
    status, output, parts = run(checkout)
    assert status == 1
    assert {"hypervisor", "openstack"} <= set(parts)
    assert output.endswith("part openstack\n")


@pytest.mark.parametrize("part", ["types", "pure", "quick"])
def test_a_failure_of_an_early_part_ends_the_run(checkout: Path, part: str) -> None:
    (checkout / f"{part}.fails").touch()
    (checkout / "openstack.waits").touch()
    status, _, parts = run(checkout)
    assert status != 0
    assert parts[-1] == "lab down unused"
    assert "hypervisor" not in parts
    pid_file = checkout / "openstack.pid"
    assert not (pid_file.exists() and Path("/proc", pid_file.read_text(encoding="utf-8").strip()).exists())


@pytest.mark.parametrize(("sent", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_both_parts(checkout: Path, sent: signal.Signals, expected: int) -> None:
    pid_files = [checkout / f"{part}.pid" for part in ("hypervisor", "openstack")]
    for part in ("hypervisor", "openstack"):
        (checkout / f"{part}.waits").touch()
    with subprocess.Popen([checkout / "tests" / "run"], stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + WAIT_LIMIT_S
        while not all(file.exists() and file.read_text(encoding="utf-8").strip() for file in pid_files):
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(sent)
        assert process.wait(WAIT_LIMIT_S) == expected
    for file in pid_files:
        assert not Path("/proc", file.read_text(encoding="utf-8").strip()).exists()
    assert (checkout / "parts").read_text(encoding="utf-8").splitlines()[-1] == "lab down unused"
