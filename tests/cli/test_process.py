"""The command in its own process: pipes, signals, encodings, shell completion."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.harness import CommandLine, CommandOutput

LIMIT_S = 30


def test_head_ends_the_command_silently(cli: CommandLine) -> None:
    cli.spec(300, site={"host": "{cpus: 2000, memory: 1 TiB, disk: 100 TiB}"})
    command = " ".join(cli.command("plan", "--verbose"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"],
        cwd=cli.directory,
        env=cli.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode in (0, 141)
    assert done.stderr == ""
    assert done.stdout.startswith("hello  ·")


def test_a_pipe_without_a_reader_ends_the_command_silently(cli: CommandLine) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        cli.command("schema"), cwd=cli.directory, env=cli.environment, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["plan", "--help", "plan --json", "list site", "image list", "state pull"])
@pytest.mark.parametrize(("redirected", "why"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")])
def test_an_unwritable_output_is_reported(cli: CommandLine, command: str, redirected: str, why: str) -> None:
    cli.running()
    result = _shell(cli, f"{command} {redirected}")
    assert (result.status, result.out) == (1, "")
    assert result.err == f"error: Output cannot be written\n  Standard output: {why}. Completed actions are recorded.\n"


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_results_are_printed_without_standard_error(cli: CommandLine, redirected: str) -> None:
    cli.spec()
    result = _shell(cli, f"plan {redirected}")
    assert (result.status, result.err) == (0, "")
    assert "3 to boot" in result.out


@pytest.mark.parametrize(
    ("redirected", "status"),
    [("2>/dev/full", 130), (">/dev/full", 1), (">/dev/full 2>&1", 1), (">&-", 1), ("2>&1 | head -n 1", 141)],
)
def test_an_apply_with_unwritable_progress_records_its_actions(cli: CommandLine, redirected: str, status: int) -> None:
    cli.spec()
    assert _shell(cli, f"apply --auto-approve {redirected}").status == status
    cli("apply", "--auto-approve")
    assert "No changes" in cli("plan").out


def test_a_closed_standard_error_does_not_corrupt_the_state(cli: CommandLine) -> None:
    """Otherwise an opened file would get its descriptor."""
    cli.spec()
    assert _shell(cli, "apply --auto-approve 2>&-").status == 0
    assert "No changes" in cli("plan").out


def _shell(cli: CommandLine, line: str) -> CommandOutput:
    """Run a command line with redirections in a shell."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shlex.join(cli.command())} {line}"],
        cwd=cli.directory,
        env=cli.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return CommandOutput(done.returncode, done.stdout, done.stderr)


def test_output_is_ascii_for_an_ascii_encoding(cli: CommandLine) -> None:
    cli.spec()
    result = cli.process("plan", environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert result.status == 0
    assert result.out.isascii()
    assert "1 cpu, 1 GiB, cpu x86-64-v2, 10.20.0.10" in result.out


def test_interrupt_while_waiting(cli: CommandLine) -> None:
    cli.spec(site={"latency": "20 s"})
    process = subprocess.Popen(
        cli.command("plan"), cwd=cli.directory, env=cli.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        limit = time.monotonic() + LIMIT_S
        while time.monotonic() < limit and not _sleeping(process.pid):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_bugs_keep_their_traceback(cli: CommandLine) -> None:
    """Only a PragmaspecError is printed without traceback."""
    code = "import pragmaspec.stack.location as p, pragmaspec.cli.app as a; p.locate_stack = None; a.run(['validate'])"
    done = subprocess.run(
        [cli.command()[0], "-c", code], cwd=cli.directory, env=cli.environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("pragmaspec pl", "plan"),
        ("pragmaspec ssh hello-c", "hello-compute-0"),
        ("pragmaspec boot h", "hello"),
        ("pragmaspec show lab/im", "lab/image/"),
        ("pragmaspec plan clu", "cluster.yaml"),
        ("pragmaspec apply --allow re", "rebuild"),
        ("pragmaspec state rm lab/hello/n", "lab/hello/node/hello-compute-0"),
        ("pragmaspec state mv h", "hello"),
        ("pragmaspec state re", "restore"),
        ("pragmaspec plan --target hello-c", "hello-compute-0"),
        ("pragmaspec plan --target he", "hello"),
        ("pragmaspec apply --exclude ti", "tiny"),
        ("pragmaspec show hello-f", "hello-frontend"),
        ("pragmaspec help pl", "plan"),
        ("pragmaspec help state lock s", "show"),
        ("pragmaspec list site l", "lab"),
        ("pragmaspec list site ", "lab"),
        ("pragmaspec orphans --site l", "lab"),
        ("pragmaspec image fetch ", "tiny"),
        ("pragmaspec ssh --spec cluster.yaml hello-f", "hello-frontend"),
        ("pragmaspec ssh --state=state/cluster hello-f", "hello-frontend"),
    ],
)
def test_completion(cli: CommandLine, words: str, offered: str) -> None:
    cli.running()
    result = cli.process(
        environment={
            "_PRAGMASPEC_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
    )
    assert result.err == ""
    assert any(line.startswith(offered) for line in result.out.split()), result.out


def test_completion_without_a_recorded_state(cli: CommandLine) -> None:
    """Images, sites and clusters come from the spec."""
    cli.spec()
    for words, offered in (("image fetch ", "tiny"), ("list site ", "lab"), ("plan --target he", "hello")):
        line = f"pragmaspec {words}"
        environment = {"_PRAGMASPEC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        assert cli.process(environment=environment).out.split() == [offered]


@pytest.mark.parametrize(
    "words",
    [
        "pragmaspec help plan x",
        "pragmaspec list site x",
        "pragmaspec image fetch x",
        "pragmaspec plan --spec nowhere.yaml --target x",
        "pragmaspec ssh x",
        "pragmaspec show 'open",
        "pragmaspec boot --spec nowhere.yaml x",
        "pragmaspec plan no/x",
        "pragmaspec ssh --state s3://b/k hel",
    ],
)
def test_completion_without_candidates(cli: CommandLine, words: str) -> None:
    environment = {"_PRAGMASPEC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    result = cli.process(environment=environment)
    assert "Traceback" not in result.err
    assert result.out.strip() == ""


def test_completion_script(cli: CommandLine) -> None:
    result = cli.process("--show-completion", "bash", environment={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert result.status == 0
    assert re.search(r"_PRAGMASPEC_COMPLETE=complete_bash", result.out)


def _sleeping(pid: int) -> bool:
    """True if the process sleeps, as it does during the latency of a simulated site."""
    try:
        return "nanosleep" in Path(f"/proc/{pid}/wchan").read_text(encoding="ascii")
    except OSError:
        return False
