"""A named spec that does not exist: its state remains readable, and a mistyped name is an error."""

import pytest

from tests.cli.harness import CommandLine

READING = ["inventory", "status", "list cluster", "state list", "state history", "state lock show", "ssh-config", "show x"]


@pytest.mark.parametrize("line", READING)
def test_a_mistyped_spec_is_not_an_empty_stack(cli: CommandLine, line: str) -> None:
    cli.spec()
    result = cli(*line.split(), "--spec", "clutser.yaml", status=64)
    assert "There is no clutser.yaml." in result.err
    assert not result.out


def test_a_mistyped_spec_in_the_environment(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRAGMASPEC_SPEC", "gone.yaml")
    result = cli("inventory", status=64)
    assert "There is no gone.yaml, which the environment variable PRAGMASPEC_SPEC names." in result.err


def test_the_state_of_a_removed_spec_is_readable(cli: CommandLine) -> None:
    cli.spec()
    cli("apply", "-y")
    (cli.directory / "cluster.yaml").unlink()
    assert "hello-frontend" in cli("inventory", "--spec", "cluster.yaml").out
    assert "hello" in cli("list", "cluster", "--spec", "cluster.yaml").out
