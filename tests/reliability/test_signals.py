"""An apply is stopped by signals, closed pipes and closed terminals: no object is lost, and the next apply finishes."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine
from tests.reliability.runs import LIMIT_S, applying, has_intent, journal, machines, wait_for

ALL_NODES = {"hello-frontend", "hello-compute-0", "hello-compute-1"}


def has_journal(cli: CommandLine) -> bool:
    return any((cli.directory / "state" / "cluster").glob("journal.*.jsonl"))


def recorded(cli: CommandLine) -> dict[str, str]:
    """Return the status of the recorded nodes by name."""
    records = cli("state", "list", "--json").json["records"]
    return {record["address"].rpartition("/")[2]: record["status"] for record in records if "/node/" in record["address"]}


def check_continues(cli: CommandLine) -> None:
    """Check that all nodes at the site are recorded, and that one apply makes spec, state and site equal."""
    assert machines(cli) <= recorded(cli).keys()
    cli.spec()
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert machines(cli) == ALL_NODES == recorded(cli).keys()
    assert set(recorded(cli).values()) == {"ready"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_first_signal_finishes_running_calls_and_writes_the_snapshot(cli: CommandLine, number: signal.Signals) -> None:
    cli.spec(site={"latency": "700 ms"})
    with applying(cli) as process:
        wait_for(lambda: has_intent(cli, "stage"), "a running call")
        process.send_signal(number)
        out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, err
    assert f"Stopped by {number.name}." in err
    assert "the next apply continues" in err
    assert "Traceback" not in out + err
    assert not has_journal(cli), "the snapshot includes the journal"
    assert machines(cli) == set(), "no call started after the signal"
    assert "interrupted" not in cli("plan").out
    check_continues(cli)


def test_the_second_signal_exits_immediately_with_started_calls_recorded(cli: CommandLine, tmp_path: Path) -> None:
    cli.spec(site={"faults": "[{call: allocate, kind: hang, delay: 90 s}]"})
    log = tmp_path / "stderr.txt"
    with log.open("w") as stream, applying(cli, stderr=stream.fileno()) as process:
        wait_for(lambda: "stage tiny: done" in log.read_text(), "the call that does not hang")
        process.send_signal(signal.SIGINT)
        wait_for(lambda: "not started" in log.read_text(), "the effect of the first signal")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)
    assert process.returncode == 130
    assert "Stopped immediately" in log.read_text()
    assert "recorded as started" in log.read_text()
    assert "Traceback" not in log.read_text()
    statuses = {record["address"]: record["status"] for record in cli("state", "list", "--json").json["records"]}
    assert statuses["lab/hello/allocation"] == "pending"
    check_continues(cli)


def test_a_closed_stderr_pipe_stops_an_apply_like_a_signal(cli: CommandLine) -> None:
    cli.spec(site={"latency": "300 ms", "parallel": "1"})
    with applying(cli) as process:
        assert process.stderr is not None
        assert "stage" in process.stderr.readline()
        process.stderr.close()
        process.wait(timeout=LIMIT_S)
    assert process.returncode in (130, 141)
    assert not has_journal(cli)
    assert machines(cli) < ALL_NODES
    check_continues(cli)


@pytest.mark.parametrize("verb", ["stage", "allocate", "boot"])
def test_the_next_apply_continues_after_sigkill(cli: CommandLine, verb: str) -> None:
    cli.spec(site={"latency": "200 ms"})
    with applying(cli) as process:
        wait_for(lambda: has_intent(cli, verb), "the intent")
        process.kill()
        process.wait(timeout=LIMIT_S)
    assert process.returncode == -signal.SIGKILL
    assert journal(cli), "the journal has the intents"
    assert cli("plan").out.startswith("An earlier run was interrupted")
    check_continues(cli)


def test_a_closed_terminal_stops_an_apply_like_a_signal(cli: CommandLine) -> None:
    cli.spec(site={"latency": "500 ms"})
    primary, secondary = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *cli.command("apply", "-y")],
        cwd=cli.directory,
        env={**cli.environment, "TERM": "xterm-256color"},
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        close_fds=True,
    )
    try:
        os.close(secondary)
        wait_for(lambda: has_intent(cli, "stage"), "a running call")
        os.close(primary)
        process.wait(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert machines(cli) < ALL_NODES
    assert not has_journal(cli)
    check_continues(cli)
