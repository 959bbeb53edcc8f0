"""Processes that run ``pragmaspec apply``, and helpers to interrupt them."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.harness import CommandLine

LIMIT_S = 60


def wait_for(condition: Callable[[], bool], description: str) -> None:
    """Wait until ``condition`` is true; fail after ``LIMIT_S``."""
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit, description
        time.sleep(0.01)


@contextmanager
def applying(cli: CommandLine, *more: str, **streams: int) -> Iterator["subprocess.Popen[str]"]:
    """Run ``pragmaspec apply`` in a process, which is killed at the end."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    process = subprocess.Popen(
        cli.command("apply", "-y", *more),
        cwd=cli.directory,
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        text=True,
        **options,  # type: ignore[call-overload]  # files or PIPE
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def journal(cli: CommandLine) -> str:
    """Return the text of the current journal; empty if there is none."""
    texts = []
    for file in sorted((cli.directory / "state" / "cluster").glob("journal.*.jsonl")):
        try:
            texts.append(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
    return "".join(texts).rstrip("\0")


def has_intent(cli: CommandLine, verb: str) -> bool:
    """Return True if the journal has an intent for a call ``verb``."""
    return any('"type":"intent"' in line and f'"verb":"{verb}"' in line for line in journal(cli).splitlines())


def machines(cli: CommandLine) -> set[str]:
    """Return the names of the nodes at the site, from its file."""
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
