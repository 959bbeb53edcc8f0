"""Output streams of the command line: width, colours, Unicode support, and writing."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pragmaspec.report.style import Style

_WIDTH = 120
_OFF = ("0", "false")
_UNICODE_SAMPLE = "·→…"


class Screen:
    """An output stream with its capabilities."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.colour = use_colour(os.environ, terminal=self.terminal)
        self.unicode = _can_encode(stream, _UNICODE_SAMPLE)

    @property
    def width(self) -> int:
        """Number of columns: the terminal's, else ``$COLUMNS``, else 120."""
        if self.terminal:
            return shutil.get_terminal_size((_WIDTH, 24)).columns
        columns = os.environ.get("COLUMNS", "")
        return int(columns) if columns.isdecimal() and int(columns) > 0 else _WIDTH

    @property
    def style(self) -> "Style":
        """The text style for this stream."""
        from pragmaspec.report.style import Style

        return Style(colour=self.colour, unicode=self.unicode)

    def write(self, text: str) -> None:
        """Write ``text``, which must be safe for this stream. Raises OutputError if the stream cannot be written."""
        self.stream.write(text)
        self.stream.flush()

    def line(self, text: str) -> None:
        """Write one line, with control characters escaped."""
        self.write(self.style.safe(text) + "\n")

    def json(self, value: Mapping[str, object] | Sequence[object]) -> None:
        """Write ``value`` as JSON."""
        from pragmaspec.report.json_forms import json_text

        self.write(json_text(value))


def use_colour(environment: Mapping[str, str], *, terminal: bool) -> bool:
    """True if output is coloured according to the usual variables; the first one that is set decides.

    ``NO_COLOR`` (no-color.org), ``FORCE_COLOR`` (force-color.org; ``0`` and ``false``: no colour), ``CLICOLOR_FORCE`` and
    ``CLICOLOR`` (bixense.com/clicolors), ``TERM=dumb``; by default a terminal has colour.
    """
    names = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR", "TERM")
    value = {name: environment.get(name, "") for name in names}
    if value["NO_COLOR"]:
        return False
    if value["FORCE_COLOR"]:
        return value["FORCE_COLOR"].lower() not in _OFF
    if value["CLICOLOR_FORCE"] and value["CLICOLOR_FORCE"] != "0":
        return True
    return terminal and value["CLICOLOR"] != "0" and value["TERM"] != "dumb"


def out() -> Screen:
    """Return standard output, for results."""
    return Screen(sys.stdout)


def err() -> Screen:
    """Return standard error, for errors, warnings, questions and progress."""
    return Screen(sys.stderr)


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
