"""Real processes that apply, to be stopped in the middle."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.harness import CommandLine

LIMIT_S = 60


def wait_for(reached: Callable[[], bool], what: str) -> None:
    """Until ``reached``, within a limit."""
    limit = time.monotonic() + LIMIT_S
    while not reached():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


@contextmanager
def applying(cli: CommandLine, *more: str, **streams: int) -> Iterator["subprocess.Popen[str]"]:
    """``pragmaspec apply`` under way in a process of its own; dead at the end."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    process = subprocess.Popen(
        cli.command("apply", "-y", *more),
        cwd=cli.directory,
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        text=True,
        **given,  # type: ignore[call-overload]  # files or PIPE
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def journal(cli: CommandLine) -> str:
    """What the journal of the run says so far; empty when there is none."""
    texts = []
    for file in sorted((cli.directory / "state" / "cluster").glob("journal.*.jsonl")):
        try:
            texts.append(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
    return "".join(texts).rstrip("\0")


def intends(cli: CommandLine, verb: str) -> bool:
    """Whether a call ``verb`` is recorded as about to leave."""
    return any('"type":"intent"' in line and f'"verb":"{verb}"' in line for line in journal(cli).splitlines())


def machines(cli: CommandLine) -> set[str]:
    """Names of the nodes that are at the site, by its own file."""
    import json

    found: dict[str, None] = {}
    path = Path(cli.directory / "site.json")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        entry = json.loads(line)
        if entry["kind"] == "machine":
            found[entry["address"].rpartition("/")[2]] = None
        elif entry["kind"] == "gone" and entry["key"][0] == "machine":
            found.pop(entry["key"][2].rpartition("/")[2], None)
    return set(found)
