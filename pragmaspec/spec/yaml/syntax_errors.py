"""Explanations of YAML syntax errors."""

import re

from ruamel.yaml.error import MarkedYAMLError

from pragmaspec.spec.yaml.tree import Position

_ESCAPE = r"In double quotes, \ begins an escape sequence. Write \\ for a backslash, or use single quotes."
_REST = "There is more text after a complete value. Put a string that begins with a quote, { or [ in quotes as a whole."
_ONE_COLUMN = "All keys of a mapping must begin in the same column"
_EXPLAINED = (
    ("found character '\\t'", "Tab", "YAML does not allow tabs for indentation. Use spaces."),
    ("cannot start any token", "Quotes missing", "Put a string that begins with this character in quotes."),
    ("expected alphabetic or numeric character", "Quotes missing", "Put a string that begins with * or & in quotes."),
    (
        "mapping values are not allowed",
        "Unexpected colon",
        "Put a string that contains `: ` in quotes, or add the missing colon to the previous line.",
    ),
    ("unknown escape character", "Unknown escape", _ESCAPE),
    ("expected escape sequence of", "Unknown escape", _ESCAPE),
    ("expected <block end>, but found '<scalar>'", "Quotes missing", _REST),
    ("expected <block end>", "Wrong indentation", f"{_ONE_COLUMN}."),
    ("expected the node content", "Value missing", "A value is expected here. Write one, or remove the comma before it."),
)
_EXPLAINED_AT_START = (
    ("could not find expected ':'", "Colon missing", "A key must be followed by `: ` and a value, or the indentation is wrong."),
    ("expected ',' or '}'", "Brace not closed", "The mapping that begins here needs commas between its entries and a closing }."),
    ("expected ',' or ']'", "Bracket not closed", "The list that begins here needs commas between its entries and a closing ]."),
    ("found unexpected end of stream", "Quote not closed", "The string that begins here has no closing quote."),
)
"""Errors reported at the start of the construct, not at the position where the parser detected them."""

_KEY_WITHOUT_SPACE = re.compile(r"[ ]*(?:-[ ]+)?([A-Za-z_][A-Za-z0-9_-]*):(?!//)[^\s:][^:]*$")
_KEY_AND_VALUE = re.compile(r"[ ]*(?:-[ ]+)?[^\s#][^:]*:[ ]+[^\s#&|>]")


def syntax_problem(error: MarkedYAMLError, text: str, unclosed: Position | None) -> tuple[str, str, Position]:
    """Return summary, detail and position of a parser error in ``text``; ``unclosed`` is the innermost open [ or {."""
    message = str(error.problem or error.context or "")
    mark = error.problem_mark or error.context_mark
    detected = (mark.line + 1, mark.column + 1)
    for part, summary, detail in _EXPLAINED_AT_START:
        if part in message and error.context_mark:
            start = (error.context_mark.line + 1, error.context_mark.column + 1)
            return summary, f"{detail} Detected at line {detected[0]}, column {detected[1]}.", start
    if "<stream end>" in message and unclosed:
        detail = "The list or mapping that begins here needs commas between its entries and a closing ] or }."
        return "Bracket not closed", detail, unclosed
    previous = _previous_line_problem(text.splitlines(), mark.line, message)
    if previous:
        return previous
    for part, summary, detail in _EXPLAINED:
        if part in message:
            return summary, detail, detected
    return "Invalid YAML", f"The YAML parser reports: {message}.", detected


def _previous_line_problem(lines: list[str], at: int, message: str) -> tuple[str, str, Position] | None:
    """Return the problem in the line before line ``at`` (from 0) that caused the parser's ``message`` about it, if any."""
    if at >= len(lines) or not message.startswith(("mapping values are not allowed", "expected <block end>")):
        return None
    candidates = (index for index in range(at - 1, -1, -1) if lines[index].strip() and not lines[index].lstrip().startswith("#"))
    previous = next(candidates, at)
    before, indent = lines[previous], _indent(lines[at])
    key = _KEY_WITHOUT_SPACE.match(before)
    if key:
        detail = f"A space must follow the colon of a key: `{key[1]}: …`. Without it, the line is a single word."
        return "Space missing", detail, (previous + 1, key.start(1) + 1)
    if indent > _indent(before) and _KEY_AND_VALUE.match(before):
        column = _indent(before) + 1
        detail = f"The key in the previous line already has a value. {_ONE_COLUMN}, here column {column}."
        return "Wrong indentation", detail, (at + 1, indent + 1)
    return None


def _indent(line: str) -> int:
    """Return the column (from 0) of the first key in the line, which may follow the dash of a list."""
    return len(line) - len(re.sub(r"^[ ]*(-[ ]+)?", "", line))
