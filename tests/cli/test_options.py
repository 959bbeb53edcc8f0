"""Options and option groups; a URL in place of a local file is refused, without repeating its password."""

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from pragmaspec.cli.options import (
    AcceptOptions,
    ChangeOptions,
    DryRunOptions,
    SelectionOptions,
    StackOptions,
    expand_option_groups,
)
from tests.cli.harness import CommandLine

URL = "http://ada:secret@127.0.0.1:1/x.qcow2"


@pytest.mark.parametrize(
    "line",
    [
        "validate", "validate --spec", "plan", "plan --out", "apply", "apply --dry-run --out", "status --spec", "image inspect",
        "image import", "image import disk.raw", "image convert disk.raw", "state push", "key import", "key export", "init",
    ],
)  # fmt: skip
def test_a_url_instead_of_a_file_is_refused(cli: CommandLine, line: str) -> None:
    cli.spec()
    before = sorted(cli.directory.iterdir())
    result = cli(*line.split(), URL, status=64)
    assert "http://127.0.0.1:1/x.qcow2 is a URL, but a local path is required." in result.err
    assert sorted(cli.directory.iterdir()) == before


@pytest.mark.parametrize(
    "line", ["show", "ssh", "clean", "boot", "plan -t", "plan --replace", "image fetch", "image prune --forget", "schema"]
)
def test_passwords_are_redacted_in_errors_about_names(cli: CommandLine, line: str) -> None:
    cli.spec()
    result = cli(*line.split(), URL, status=64)
    assert "secret" not in result.err
    assert "127.0.0.1:1/x.qcow2" in result.err


def test_passwords_are_redacted_in_json(cli: CommandLine) -> None:
    cli.spec()
    result = cli("show", URL, "--json", status=64)
    assert "secret" not in result.out + result.err


@pytest.mark.parametrize(("variable", "line"), [("PRAGMASPEC_SPEC", "plan"), ("PRAGMASPEC_IMAGES", "image list")])
def test_a_url_in_a_path_variable_is_refused(cli: CommandLine, variable: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, URL)
    result = cli(*line.split(), status=64)
    assert "http://127.0.0.1:1/x.qcow2 is a URL, but a local path is required" in result.err
    assert variable in result.err


@dataclass(frozen=True)
class Group:
    left: Annotated[str, typer.Option("--left")] = "l"
    right: Annotated[bool, typer.Option("--right")] = False


def test_an_option_group_is_expanded_in_place() -> None:
    seen: list[object] = []

    @expand_option_groups
    def command(name: str, *, before: int = 1, group: Group, after: int = 2) -> None:
        """Its help."""
        seen.append((name, before, group, after))

    parameters = inspect.signature(command).parameters
    assert list(parameters) == ["name", "before", "left", "right", "after"]
    assert parameters["left"].default == "l"
    assert command.__doc__ == "Its help."
    command(name="x", before=3, left="L", right=True, after=4)
    assert seen == [("x", 3, Group(left="L", right=True), 4)]


def test_option_groups_of_one_command_share_no_name() -> None:
    groups = (AcceptOptions, ChangeOptions, DryRunOptions, SelectionOptions, StackOptions)
    names = [name for group in groups for name in group.__dataclass_fields__]
    assert len(names) == len(set(names))
