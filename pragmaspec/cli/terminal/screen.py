"""The terminal, or whatever stands in its place: how wide it is, whether it shows colours and Unicode, and writing to it."""

import os
import shutil
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pragmaspec.report.style import Style

_WIDTH = 120
_NO = ("0", "false")
_PROBE = "·→…"


class Screen:
    """One output stream."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.colour = use_colour(os.environ, terminal=self.terminal)
        self.unicode = _carries(stream, _PROBE)

    @property
    def width(self) -> int:
        """Columns: the terminal's, else ``$COLUMNS``, else 120."""
        if self.terminal:
            return shutil.get_terminal_size((_WIDTH, 24)).columns
        asked = os.environ.get("COLUMNS", "")
        return int(asked) if asked.isdecimal() and int(asked) > 0 else _WIDTH

    @property
    def pen(self) -> "Style":
        """How to write for this stream."""
        from pragmaspec.report.style import Style

        return Style(colour=self.colour, unicode=self.unicode)

    def write(self, text: str) -> None:
        """Write ``text``, which already is what this stream can carry. Raises OutputError when the stream takes nothing more."""
        self.stream.write(text)
        self.stream.flush()

    def say(self, text: str) -> None:
        """One line from our own words and perhaps other people's: made safe first."""
        self.write(self.pen.say(text) + "\n")

    def json(self, value: "Mapping[str, object] | Sequence[object]") -> None:
        """Write ``value`` as JSON."""
        from pragmaspec.report.json_forms import json_text

        self.write(json_text(value))


def use_colour(environment: "Mapping[str, str]", *, terminal: bool) -> bool:
    """True if output is to be coloured, by the usual variables: the first that decides counts.

    ``NO_COLOR`` (no-color.org), ``FORCE_COLOR`` (force-color.org; ``0`` and ``false``: no colour), ``CLICOLOR_FORCE`` and
    ``CLICOLOR`` (bixense.com/clicolors), ``TERM=dumb``; without any, a terminal has colour.
    """
    said = {name: environment.get(name, "") for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "TERM")}
    if said["NO_COLOR"]:
        return False
    if said["FORCE_COLOR"]:
        return said["FORCE_COLOR"].lower() not in _NO
    if said["CLICOLOR_FORCE"] and said["CLICOLOR_FORCE"] != "0":
        return True
    return terminal and said["CLICOLOR"] != "0" and said["TERM"] != "dumb"


def out() -> Screen:
    """Standard output."""
    return Screen(sys.stdout)


def err() -> Screen:
    """Standard error: problems, questions and progress."""
    return Screen(sys.stderr)


def _carries(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
