"""A named spec that does not exist: its state remains readable, and a mistyped name is an error."""

import pytest

from tests.cli.workshop import Workshop

READING = ["inventory", "status", "list cluster", "state list", "state history", "state lock show", "ssh-config", "show x"]


@pytest.mark.parametrize("line", READING)
def test_a_mistyped_spec_is_not_an_empty_stack(shop: Workshop, line: str) -> None:
    shop.spec()
    said = shop(*line.split(), "--spec", "clutser.yaml", status=64)
    assert "There is no clutser.yaml." in said.err
    assert not said.out


def test_a_mistyped_spec_in_the_environment(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRAGMASPEC_SPEC", "gone.yaml")
    said = shop("inventory", status=64)
    assert "There is no gone.yaml, which the environment variable PRAGMASPEC_SPEC names." in said.err


def test_the_state_of_a_removed_spec_is_readable(shop: Workshop) -> None:
    shop.spec()
    shop("apply", "-y")
    (shop.directory / "cluster.yaml").unlink()
    assert "hello-frontend" in shop("inventory", "--spec", "cluster.yaml").out
    assert "hello" in shop("list", "cluster", "--spec", "cluster.yaml").out
