"""Behaviour on a terminal: confirmation, colours, live progress."""

import io
import os
import pty
import select
import subprocess
import time

import pytest
from rich.console import Console

from pragmaspec import Stack
from pragmaspec.cli.terminal.live_progress import LiveProgress, live_progress
from pragmaspec.cli.terminal.screen import Screen
from pragmaspec.errors import SiteError
from tests.cli.harness import CommandLine

LIMIT_S = 60


def _at_terminal(cli: CommandLine, *arguments: str, answer: str = "", **environment: str) -> tuple[int, str]:
    """Run on a terminal of 120 columns and type ``answer`` at the question; return exit status and output."""
    ours, theirs = pty.openpty()
    environment = {**cli.environment, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40", **environment}
    process = subprocess.Popen(
        ["setsid", "--ctty", *cli.command(*arguments)],  # so that it receives Ctrl-C
        cwd=cli.directory,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    os.close(theirs)
    shown = ""
    limit = time.monotonic() + LIMIT_S
    with process:
        while time.monotonic() < limit:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    data = os.read(ours, 65536)
                except OSError:  # Linux reports a closed terminal as an error
                    break
                if not data:
                    break
                shown += data.decode(errors="replace")
                if answer and "[y/N]" in shown:
                    os.write(ours, answer.encode())
                    answer = ""
            elif process.poll() is not None:
                break
        try:
            process.wait(timeout=LIMIT_S)  # it closes the terminal shortly before it exits
        except subprocess.TimeoutExpired:
            process.kill()
    os.close(ours)
    return process.returncode, shown


def test_yes_applies_with_live_progress(cli: CommandLine) -> None:
    cli.spec()
    status, shown = _at_terminal(cli, "apply", answer="y\n")
    assert status == 0, shown
    assert "Apply this plan? [y/N]" in shown
    assert "Done: 5 actions in" in shown
    assert "boot hello-compute-1" in shown
    assert "\x1b[32m" in shown
    assert cli("plan").out.startswith("No changes")


@pytest.mark.parametrize("answer", ["n\n", "\n", "yes please\n", "\x04"])
def test_every_other_answer_changes_nothing(cli: CommandLine, answer: str) -> None:
    cli.spec()
    status, shown = _at_terminal(cli, "apply", answer=answer)
    assert status == 1, shown
    assert "Nothing was changed." in shown
    assert not (cli.directory / "site.json").exists()


def test_ctrl_c_at_the_question(cli: CommandLine) -> None:
    cli.spec()
    status, shown = _at_terminal(cli, "apply", answer="\x03")
    assert status == 130, shown
    assert shown.endswith("\r\nNothing was changed.\r\n")
    assert "Traceback" not in shown
    assert not (cli.directory / "site.json").exists()


def test_ctrl_d_at_the_question(cli: CommandLine) -> None:
    cli.spec()
    status, shown = _at_terminal(cli, "apply", answer="\x04")
    assert status == 1
    assert "[y/N] \r\nNothing was changed.\r\n" in shown


def test_an_empty_plan_needs_no_confirmation(cli: CommandLine) -> None:
    cli.running()
    status, shown = _at_terminal(cli, "apply")
    assert (status, shown.strip()) == (0, "No changes: lab matches cluster.yaml.")


def test_failures_stay_on_the_screen(cli: CommandLine) -> None:
    cli.spec(site={"faults": "[{call: boot, kind: refuse, match: hello-frontend, nth: 1}]"})
    status, shown = _at_terminal(cli, "apply", "-y")
    assert status == 5
    assert "FAILED" in shown
    assert "error" in shown


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_disabled(cli: CommandLine, variable: dict[str, str]) -> None:
    cli.spec()
    _, shown = _at_terminal(cli, "plan", **variable)
    assert "\x1b[" not in shown
    assert "3 to boot" in shown


def test_control_characters_of_guests_are_escaped(cli: CommandLine) -> None:
    cli.running()
    _, shown = _at_terminal(cli, "console", "hello-frontend", "--log", NO_COLOR="1")
    assert "Linux version" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, 4), ("n\n", 1, 5)])
def test_an_edit_of_the_state_shows_its_effect_and_asks(cli: CommandLine, answer: str, status: int, left: int) -> None:
    cli.running()
    found, shown = _at_terminal(cli, "state", "rm", "hello-compute-1", answer=answer)
    assert found == status, shown
    assert "lab/hello/node/hello-compute-1: record removed; the resource stays at lab" in shown
    assert "Apply this change to the state? [y/N]" in shown
    assert len(cli("state", "list", "--json").json["records"]) == left


def test_results_are_counted_separately(cli: CommandLine) -> None:
    cli.spec(20)
    plan = Stack(cli.directory / "cluster.yaml").plan()
    stage, allocate, *boots = plan.actions
    shown = io.StringIO()
    with live_progress(Screen(shown), plan) as reporter:
        assert isinstance(reporter, LiveProgress)
        reporter.finished(stage)
        reporter.failed(allocate, SiteError("No VLAN is left"))
        for boot in boots:
            reporter.skipped(boot, f"{allocate.key} failed")
        Console(file=shown, width=100).print(reporter)
    result = shown.getvalue()
    assert "1 of 23 done, 1 failed, 21 not started" in result
    assert result.count("not started, allocate") == 4
    assert "18 more: not started, allocate" in result
