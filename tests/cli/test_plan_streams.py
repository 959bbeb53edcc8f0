"""Saved plans through pipes, devices, links and standard streams."""

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine, CommandOutput


def shell(cli: CommandLine, line: str) -> CommandOutput:
    """Run the shell command ``line``, in which ``P`` is the program under test."""
    command = " ".join(cli.command())
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; P() {{ {command} "$@"; }}; {line}'],
        cwd=cli.directory,
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return CommandOutput(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "line",
    [
        "P plan --out - 2>/dev/null | P apply --auto-approve -",
        "P plan --out /dev/stdout 2>/dev/null | P apply --auto-approve /dev/stdin",
        "P plan --out >(cat > got; touch done); until [ -e done ]; do :; done; P apply --auto-approve <(cat got)",
        "mkfifo f; P plan --out f & P apply --auto-approve f",
        "P plan --out /dev/stderr 2>&1 >/dev/null | grep '^{' | P apply --auto-approve -",
        "P plan --out p; P apply --auto-approve /dev/stdin < p",
    ],
)
def test_a_plan_can_be_piped_to_apply(cli: CommandLine, line: str) -> None:
    cli.spec()
    result = shell(cli, line)
    assert result.status == 0, result.err
    assert "Done: 5 actions" in result.out + result.err
    assert "No changes" in cli("plan").out


def test_standard_output_contains_only_the_plan_document(cli: CommandLine) -> None:
    cli.spec()
    result = cli("plan", "--out", "-")
    assert result.json["kind"] == "pragmaspec-plan"
    assert "3 to boot" in result.err
    assert "can hold one document" in cli("plan", "--out", "-", "--json", status=64).err
    assert not (cli.directory / "-").exists()


def test_valid_targets_for_a_saved_plan(cli: CommandLine) -> None:
    cli.spec()
    (cli.directory / "empty").touch()
    (cli.directory / "link").symlink_to("target")
    for name in ("empty", "link", "link", "/dev/null", "with blank"):
        result = cli("plan", "--out", name)
        assert ("`pragmaspec apply 'with blank'`" in result.err) == (name == "with blank")
    assert (cli.directory / "link").is_symlink()
    assert (cli.directory / "target").read_bytes().startswith(b'{"kind":"pragmaspec-plan"')
    cli("apply", "--auto-approve", "link")


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        (".", 64, ". is a directory. Name a file in it, such as plan.json."),
        ("cluster.yaml", 64, "cluster.yaml is a file of the stack itself"),
        ("pragmaspec.lock", 64, "is a file of the stack itself"),
        ("state/cluster/state.json", 64, "There is no directory"),
        ("nowhere/plan.json", 64, "There is no directory"),
        ("disk.raw", 64, "disk.raw exists and is not a saved plan"),
        ("/dev/full", 1, "No space left on device"),
        ("/proc/self/plan.json", 1, "/proc/self/plan.json"),
    ],
)
def test_invalid_targets_for_a_saved_plan(cli: CommandLine, name: str, status: int, words: str) -> None:
    cli.spec()
    before = (cli.directory / "cluster.yaml").read_text()
    assert words in cli("plan", "--out", name, status=status).err
    assert (cli.directory / "cluster.yaml").read_text() == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("P apply <(cat cluster.yaml)", "is not a saved plan. Pipe in the output of `pragmaspec plan --out -`"),
        ("P apply -", "standard input is empty"),
        ("P apply /dev/null", "/dev/null is empty"),
        ("P plan --out - 2>/dev/null | head -c 500 | P apply -", "standard input is incomplete or edited"),
        ("P key import /dev/null", "not a file written by `pragmaspec key export`"),
    ],
)
def test_piped_input_that_is_not_a_plan_is_refused(cli: CommandLine, line: str, words: str) -> None:
    cli.spec()
    result = shell(cli, line)
    assert result.status == 64
    assert words in " ".join(result.err.split())


def test_an_unwritable_target_is_refused_before_planning(cli: CommandLine, tmp_path: Path) -> None:
    cli.spec()
    (tmp_path / "closed").mkdir(mode=0o500)
    if os.access(tmp_path / "closed", os.W_OK):  # root may write anywhere
        return
    assert "may not be written to" in cli("plan", "--out", str(tmp_path / "closed" / "plan.json"), status=64).err


def test_streams_are_read_and_written_once(cli: CommandLine) -> None:
    cli.spec()
    for name in ("first", "second"):
        os.mkfifo(cli.directory / name)
    cli("plan", "--out", "plan.json")
    plan = (cli.directory / "plan.json").read_bytes()
    with ThreadPoolExecutor() as other_ends:
        read = other_ends.submit((cli.directory / "first").read_bytes)
        cli("plan", "--out", "first")
        assert read.result().startswith(plan[:64])
        written = other_ends.submit((cli.directory / "second").write_bytes, plan)
        cli("apply", "-y", "second")
        assert written.result() == len(plan)
    assert "/dev/null is empty" in cli("apply", "/dev/null", status=64).err
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(cli.directory / "socket"))
        assert "Saved plan not readable" in cli("apply", "socket", status=64).err
