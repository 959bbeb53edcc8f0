"""Colours according to the usual variables."""

import pytest

from pragmaspec.cli.terminal.screen import use_colour


@pytest.mark.parametrize(
    ("environment", "at_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "3", "TERM": "dumb", "CLICOLOR": "0"}, True, True),
        ({"FORCE_COLOR": "0", "CLICOLOR_FORCE": "1"}, False, False),
        ({"FORCE_COLOR": "false"}, False, False),
        ({"FORCE_COLOR": "", "CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colour(environment: dict[str, str], at_terminal: bool, elsewhere: bool) -> None:
    assert use_colour(environment, terminal=True) is at_terminal
    assert use_colour(environment, terminal=False) is elsewhere
