"""Safe text for terminals: colour only where enabled, no control sequences, ASCII where required."""

from typing import Literal
from unicodedata import east_asian_width

from pragmaspec.frozen import Frozen

Tone = Literal["plain", "bold", "dim", "add", "change", "remove", "danger", "link"]

_SGR: dict[Tone, str] = {"bold": "1", "dim": "2", "add": "32", "change": "33", "remove": "31", "danger": "1;31", "link": "36"}
_ASCII = str.maketrans(
    {"·": "-", "→": "->", "…": "...", "—": "-", "–": "-", "’": "'", "“": '"', "”": '"', "×": "x", "≤": "<=", "≥": ">="}  # noqa: RUF001 - these are the characters to replace
)


class Style(Frozen, frozen=True):
    """The capabilities of one output stream."""

    colour: bool = False
    unicode: bool = True

    def safe(self, text: str) -> str:
        """Return ``text`` with control characters escaped, in the characters of the stream."""
        escaped = escape_controls(text)
        if self.unicode or escaped.isascii():
            return escaped
        return (
            escaped.replace("  ·  ", "  -  ")
            .replace(" · ", ", ")
            .translate(_ASCII)
            .encode("ascii", "backslashreplace")
            .decode("ascii")
        )

    def paint(self, text: str, tone: Tone) -> str:
        """Return ``text``, which must be :meth:`safe`, in the colour of ``tone`` if colours are enabled."""
        if not self.colour or tone == "plain" or not text:
            return text
        return f"\x1b[{_SGR[tone]}m{text}\x1b[0m"


def escape_controls(text: str) -> str:
    r"""Return ``text`` with control, bidirectional and other invisible characters as ``\x1b`` and the like, tabs as blanks."""
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def display_width(text: str) -> int:
    """Return the number of terminal columns of ``text``."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _escaped(character: str) -> str:
    if character == "\t":
        return " "
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - the last code that two hexadecimal digits can represent
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - likewise for four
