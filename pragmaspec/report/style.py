"""What may be put on a terminal: colour only where wanted, nothing that a terminal would obey, ASCII where it must be."""

from typing import Literal
from unicodedata import east_asian_width

from pragmaspec.frozen import Frozen

Tone = Literal["plain", "bold", "dim", "add", "change", "remove", "danger", "link"]

_SGR: dict[Tone, str] = {"bold": "1", "dim": "2", "add": "32", "change": "33", "remove": "31", "danger": "1;31", "link": "36"}
_ASCII = str.maketrans(
    {"·": "-", "→": "->", "…": "...", "—": "-", "–": "-", "’": "'", "“": '"', "”": '"', "×": "x", "≤": "<=", "≥": ">="}  # noqa: RUF001 - these are the characters to replace
)


class Style(Frozen, frozen=True):
    """How to write for one stream: with colour or not, with Unicode or only ASCII."""

    colour: bool = False
    unicode: bool = True

    def say(self, text: str) -> str:
        """``text`` with everything that a terminal would obey made visible, in the stream's characters."""
        shown = escape_controls(text)
        if self.unicode or shown.isascii():
            return shown
        return (
            shown.replace("  ·  ", "  -  ")
            .replace(" · ", ", ")
            .translate(_ASCII)
            .encode("ascii", "backslashreplace")
            .decode("ascii")
        )

    def paint(self, text: str, tone: Tone) -> str:
        """``text`` in the colour of ``tone`` when colours are wanted; the text must already be :meth:`say`'s."""
        if not self.colour or tone == "plain" or not text:
            return text
        return f"\x1b[{_SGR[tone]}m{text}\x1b[0m"


def escape_controls(text: str) -> str:
    r"""``text`` with control, bidirectional and other invisible characters as ``\x1b`` and the like; a tab becomes a blank."""
    if text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def display_width(text: str) -> int:
    """How many terminal columns ``text`` takes."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _visible(character: str) -> str:
    if character == "\t":
        return " "
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - the last code that two hexadecimal digits can write
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the same for four
