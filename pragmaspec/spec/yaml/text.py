"""From the bytes of a file to text that is safe to read and to show."""

import re
import unicodedata

from pragmaspec.errors import Problem, SpecError, Where
from pragmaspec.spec.value_errors import without_credentials

FILE_SIZE_MAX = 2**20
"""The most bytes a file that a person writes may have."""

QUOTE_MAX = 2000
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_UTF8_BOM = b"\xef\xbb\xbf"
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ud800-\udfff]"
)
_LINE_END = re.compile("\r\n|\r|\n")
_OPENSSH_PRIVATE = "b3BlbnNzaC1rZXktdjE"
"""The beginning of every private key of OpenSSH in base64: ``openssh-key-v1``."""
_SECRET = re.compile(r"(?i)((?:passw(?:or)?d|secret|token|private[_-]?key)[^:]{0,20}:\s*).+")


def decode_text(data: bytes, file: str) -> str:
    """The text in ``data``. Raises SpecError when it is too long, not UTF-8, or has characters that deceive a reader."""
    if len(data) > FILE_SIZE_MAX:
        raise SpecError(
            "File too large",
            "A file that people write has at most 1 MiB. Make several specs of it.",
            where=Where(file=file, line=1),
        )
    if data.startswith(_BOMS) or data.startswith(_UTF8_BOM):
        kind = "begins with a byte order mark" if data.startswith(_UTF8_BOM) else "is UTF-16 or UTF-32"
        raise SpecError("Not plain UTF-8", f"The file {kind}. Save it as plain UTF-8.", where=Where(file=file, line=1))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        raise SpecError(
            "Not plain UTF-8",
            f"The byte 0x{data[error.start]:02x} here is not UTF-8. Save the file as UTF-8.",
            where=_where(before, len(before), file),
        ) from None
    problems = [_unsafe_problem(text, found.start(), file) for found in _UNSAFE.finditer(text)]
    if problems:
        raise SpecError.of(problems)
    return text


def unsafe_character(text: str) -> str | None:
    """The name of the first character of ``text`` that is not fit to be shown, or None."""
    found = _UNSAFE.search(text)
    return character_name(found[0]) if found else None


def without_unsafe_characters(text: str) -> str:
    """``text`` without the characters that are not fit to be shown."""
    return _UNSAFE.sub("", text)


def character_name(character: str) -> str:
    """``U+202E RIGHT-TO-LEFT OVERRIDE``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"


def quoted_line(text: str, line: int) -> str | None:
    """Line number ``line`` (from 1) of ``text``, made safe to print: cut, without control characters and passwords."""
    lines = _LINE_END.split(text)
    if not 1 <= line <= len(lines):
        return None
    found = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", lines[line - 1].replace("\t", "→"))
    if "PRIVATE KEY" in found or _OPENSSH_PRIVATE in found:
        return None
    found = without_credentials(_SECRET.sub(r"\1…", found))
    return found if len(found) <= QUOTE_MAX else found[: QUOTE_MAX - 1] + "…"


def _unsafe_problem(text: str, position: int, file: str) -> Problem:
    where = _where(text, position, file)
    return Problem(
        summary="Invisible or control character",
        detail=f"{character_name(text[position])} can make a text look like another. Remove it.",
        where=where,
        quote=quoted_line(text, where.line),
    )


def _where(text: str, position: int, file: str) -> Where:
    lines = _LINE_END.split(text[:position])
    return Where(file=file, line=len(lines), column=len(lines[-1]) + 1)
