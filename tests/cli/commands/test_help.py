"""Help texts: complete, with examples, equal to the manual, and fast."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pragmaspec import __version__
from pragmaspec.cli.app import COMMANDS as NAMES
from pragmaspec.cli.app import command_line
from tests.cli.harness import CommandLine

ROOT = Path(__file__).parents[3]
MANUAL = ROOT / "docs" / "cli.md"
HEAVY = {"pydantic", "requests", "rich", "deepdiff", "libvirt", "ruamel", "ruamel.yaml", "cryptography", "pycdlib"}


def _commands(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"


COMMANDS = list(_commands(typer.main.get_command(command_line())))


def _help(cli: CommandLine, *command: str) -> str:
    return cli(*command, "--help").out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_valid_examples(cli: CommandLine, command: str) -> None:
    text = _help(cli, *command.split())
    lines = text.partition("Examples:\n")[2].splitlines()
    assert lines
    assert all(line.startswith(f"    pragmaspec {command}") for line in lines), lines


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_manual_contains_the_current_help(
    cli: CommandLine, command: str, golden: Callable[[Path, str], None], request: pytest.FixtureRequest
) -> None:
    """docs/cli.md contains the help of every command; ``--update-golden`` updates it."""
    result = _help(cli, *command.split()).rstrip("\n")
    manual = MANUAL.read_text(encoding="utf-8")
    title = f"## `pragmaspec {command}`\n" if command else "## `pragmaspec`\n"
    block = re.search(re.escape(title) + r"(?:(?!\n## ).)*?```text\n(?P<help>.*?)\n```", manual, re.DOTALL)
    assert block is not None, f"docs/cli.md has no section {title.strip()} with a block of text"
    golden(MANUAL, manual[: block.start("help")] + result + manual[block.end("help") :])


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name)
def test_code_blocks_are_closed(page: Path) -> None:
    """A fence with a language opens a block; one without closes it, or opens one if none is open."""
    opened = 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            assert not opened or line.strip() == "```", f"line {number}: the block of line {opened} is still open"
            opened = 0 if opened else number
    assert not opened, f"the block of line {opened} is never closed"


def test_help_command_equals_help_option(cli: CommandLine) -> None:
    assert cli("help").out == cli("--help").out == cli("-h").out == cli().out
    assert cli("help", "plan").out == cli("plan", "--help").out
    assert cli("help", "state", "lock", "show").out == cli("state", "lock", "show", "--help").out
    assert cli("help", "list", "site").out == cli("list", "site", "--help").out
    assert "unknown command: flan" in cli("help", "flan", status=64).err
    assert "unknown command: plan flan" in cli("help", "plan", "flan", status=64).err


@pytest.mark.parametrize("name", NAMES)
def test_a_command_loaded_alone_is_unchanged(name: str) -> None:
    """A command line that begins with a command loads only the module of that command."""
    alone, among = (typer.main.get_command(command_line(word)).commands[name] for word in (name, ""))
    assert [each.opts for each in alone.params] == [each.opts for each in among.params]
    assert alone.help == among.help


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_equals_the_help_of_the_command(name: str) -> None:
    """The list of commands is printed without loading them."""
    assert typer.main.get_command(command_line()).commands[name].get_short_help_str(200) == NAMES[name].summary
    assert len(NAMES[name].summary) <= 62


def test_version(cli: CommandLine) -> None:
    assert cli("--version").out == f"pragmaspec {__version__}\n"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{__version__}"\n' in text


@pytest.mark.parametrize(
    "arguments", [("plam",), ("plan", "--wat"), ("boot",), ("list", "sites"), ("list",), ("plan", "\x1b[2J", "b")]
)
def test_a_wrong_command_line_is_a_usage_error(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments, status=64)
    assert result.out == ""
    assert "error: " in result.err
    assert "--help" in result.err
    assert "\x1b" not in result.err


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("plan", "--help"), ("list", "--help")])
def test_startup_loads_no_heavy_library(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pragmaspec", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_importing_the_library_loads_no_modules() -> None:
    code = "import sys, pragmaspec; print(pragmaspec.__version__, 'msgspec' in sys.modules, 'typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == [__version__, "False", "False"]
