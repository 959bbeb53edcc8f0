"""Decodes files to text that is safe to parse and display."""

import re
import unicodedata

from pragmaspec.errors import Problem, SpecError, Where
from pragmaspec.spec.value_errors import without_credentials

FILE_SIZE_MAX = 2**20
"""The maximum size in bytes of a file written by hand."""

QUOTE_MAX = 2000
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_UTF8_BOM = b"\xef\xbb\xbf"
_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ud800-\udfff]"
)
_LINE_END = re.compile("\r\n|\r|\n")
_OPENSSH_PRIVATE = "b3BlbnNzaC1rZXktdjE"
"""The common beginning of OpenSSH private keys: ``openssh-key-v1`` in base64."""
_SECRET = re.compile(r"(?i)((?:passw(?:or)?d|secret|token|private[_-]?key)[^:]{0,20}:\s*).+")


def decode_text(data: bytes, file: str) -> str:
    """Return ``data`` as text. Raises SpecError if it is too long, not UTF-8, or contains deceptive characters."""
    if len(data) > FILE_SIZE_MAX:
        raise SpecError(
            "File too large",
            "The maximum size of a file is 1 MiB. Split it into several specs.",
            where=Where(file=file, line=1),
        )
    if data.startswith(_BOMS) or data.startswith(_UTF8_BOM):
        problem = "begins with a byte order mark" if data.startswith(_UTF8_BOM) else "is encoded as UTF-16 or UTF-32"
        raise SpecError("Not plain UTF-8", f"The file {problem}. Save it as plain UTF-8.", where=Where(file=file, line=1))
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
    """Return the name of the first character of ``text`` that is not safe to display, or None."""
    found = _UNSAFE.search(text)
    return character_name(found[0]) if found else None


def without_unsafe_characters(text: str) -> str:
    """Return ``text`` without characters that are not safe to display."""
    return _UNSAFE.sub("", text)


def character_name(character: str) -> str:
    """Return code point and name, such as ``U+202E RIGHT-TO-LEFT OVERRIDE``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"


def quoted_line(text: str, line: int) -> str | None:
    """Return line ``line`` (from 1) of ``text``, safe to display: truncated, without control characters and passwords."""
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
        detail=f"{character_name(text[position])} can disguise the text. Remove it.",
        where=where,
        quote=quoted_line(text, where.line),
    )


def _where(text: str, position: int, file: str) -> Where:
    lines = _LINE_END.split(text[:position])
    return Where(file=file, line=len(lines), column=len(lines[-1]) + 1)
