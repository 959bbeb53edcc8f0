"""A real process that applies is told to stop, in every way a process can be: nothing is lost, and the next apply finishes."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine
from tests.reliability.runs import LIMIT_S, applying, intends, journal, machines, wait_for

EVERYTHING = {"hello-frontend", "hello-compute-0", "hello-compute-1"}


def unfinished(cli: CommandLine) -> bool:
    return any((cli.directory / "state" / "cluster").glob("journal.*.jsonl"))


def recorded(cli: CommandLine) -> dict[str, str]:
    """Recorded nodes by name, and their status."""
    records = cli("state", "list", "--json").json["records"]
    return {record["address"].rpartition("/")[2]: record["status"] for record in records if "/node/" in record["address"]}


def check_continues(cli: CommandLine) -> None:
    """Everything that is at the site is recorded, and one apply ends with the spec, the state and the site being equal."""
    assert machines(cli) <= recorded(cli).keys()
    cli.spec()
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert machines(cli) == EVERYTHING == recorded(cli).keys()
    assert set(recorded(cli).values()) == {"ready"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_first_signal_ends_the_calls_under_way_writes_the_snapshot_and_starts_nothing_more(
    cli: CommandLine, number: signal.Signals
) -> None:
    cli.spec(site={"latency": "700 ms"})
    with applying(cli) as process:
        wait_for(lambda: intends(cli, "stage"), "a call under way")
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, err
    assert f"Stopped by {number.name}." in err
    assert "the next apply continues" in err
    assert "Traceback" not in out + err
    assert not unfinished(cli), "the snapshot has everything"
    assert machines(cli) == set(), "nothing was started after the signal"
    assert "interrupted" not in cli("plan").out
    check_continues(cli)


def test_the_second_signal_leaves_at_once_and_what_was_begun_is_known(cli: CommandLine, tmp_path: Path) -> None:
    cli.spec(site={"faults": "[{call: allocate, kind: hang, delay: 90 s}]"})
    said = tmp_path / "said.txt"
    with said.open("w") as stream, applying(cli, stderr=stream.fileno()) as process:
        wait_for(lambda: "stage tiny: done" in said.read_text(), "the call beside the one that hangs")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "not started" in said.read_text(), "the first signal to be obeyed")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    assert process.returncode == 130
    assert "Stopped immediately" in said.read_text()
    assert "recorded as started" in said.read_text()
    assert "Traceback" not in said.read_text()
    statuses = {record["address"]: record["status"] for record in cli("state", "list", "--json").json["records"]}
    assert statuses["lab/hello/allocation"] == "pending"
    check_continues(cli)


def test_a_reader_that_goes_away_during_an_apply_stops_it_like_a_signal(cli: CommandLine) -> None:
    cli.spec(site={"latency": "300 ms", "parallel": "1"})
    with applying(cli) as process:
        assert process.stderr is not None
        assert "stage" in process.stderr.readline()
        process.stderr.close()
        process.wait(timeout=LIMIT_S)
    assert process.returncode in (130, 141)
    assert not unfinished(cli)
    assert machines(cli) < EVERYTHING
    check_continues(cli)


@pytest.mark.parametrize("verb", ["stage", "allocate", "boot"])
def test_a_process_that_is_killed_as_by_the_kernel_without_memory(cli: CommandLine, verb: str) -> None:
    cli.spec(site={"latency": "200 ms"})
    with applying(cli) as process:
        wait_for(lambda: intends(cli, verb), "the intent")
        process.kill()
        process.wait(timeout=LIMIT_S)
    assert process.returncode == -signal.SIGKILL
    assert journal(cli), "the intents are there"
    assert cli("plan").out.startswith("An earlier run was interrupted")
    check_continues(cli)


def test_a_terminal_that_is_closed_ends_the_run_like_a_signal(cli: CommandLine) -> None:
    cli.spec(site={"latency": "500 ms"})
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *cli.command("apply", "-y")],
        cwd=cli.directory,
        env={**cli.environment, "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
    )
    try:
        os.close(theirs)
        wait_for(lambda: intends(cli, "stage"), "a call under way")
        os.close(ours)
        process.wait(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert machines(cli) < EVERYTHING
    assert not unfinished(cli)
    check_continues(cli)
