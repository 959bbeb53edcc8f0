"""What is wrong with text that is not YAML, in words for people."""

import re

from ruamel.yaml.error import MarkedYAMLError

from pragmaspec.spec.yaml.tree import Position

_ESCAPE = r"In double quotes \ begins an escape. Write \\ for one, or use single quotes."
_REST = "Here is more after a value that was complete. A text with quotes, { or [ at its begin needs quotes around all of it."
_EXPLAINED = (
    ("found character '\\t'", "Tab", "YAML does not indent with tabs; use blanks."),
    ("cannot start any token", "Quotes missing", "A text that begins with this character needs quotes."),
    ("expected alphabetic or numeric character", "Quotes missing", "A text that begins with * or & needs quotes."),
    (
        "mapping values are not allowed",
        "Unexpected colon",
        "A text with `: ` in it needs quotes; or the line before lacks its colon.",
    ),
    ("unknown escape character", "Unknown escape", _ESCAPE),
    ("expected escape sequence of", "Unknown escape", _ESCAPE),
    ("expected <block end>, but found '<scalar>'", "Quotes missing", _REST),
    ("expected <block end>", "Wrong indentation", "The keys of one mapping begin in one column."),
    ("expected the node content", "Value missing", "Here a value is expected. Write one, or remove the comma before it."),
)
_EXPLAINED_AT_BEGIN = (
    ("could not find expected ':'", "Colon missing", "A key is followed by `: ` and a value; or the indentation is wrong."),
    ("expected ',' or '}'", "Brace not closed", "The mapping that begins here has commas between its entries and ends with }."),
    ("expected ',' or ']'", "Bracket not closed", "The list that begins here has commas between its entries and ends with ]."),
    ("found unexpected end of stream", "Quote not closed", "The text that begins here has no quote at its end."),
)
"""Of these the begin is shown, not where the parser noticed."""


_KEY_WITHOUT_BLANK = re.compile(r"[ ]*(?:-[ ]+)?([A-Za-z_][A-Za-z0-9_-]*):(?!//)[^\s:][^:]*$")
_KEY_AND_VALUE = re.compile(r"[ ]*(?:-[ ]+)?[^\s#][^:]*:[ ]+[^\s#&|>]")


def syntax_problem(error: MarkedYAMLError, text: str, unclosed: Position | None) -> tuple[str, str, Position]:
    """Summary, detail and place of what the parser complains of in ``text``; ``unclosed``: the innermost [ or { still open."""
    said = str(error.problem or error.context or "")
    mark = error.problem_mark or error.context_mark
    noticed = (mark.line + 1, mark.column + 1)
    for part, summary, detail in _EXPLAINED_AT_BEGIN:
        if part in said and error.context_mark:
            begin = (error.context_mark.line + 1, error.context_mark.column + 1)
            return summary, f"{detail} Noticed at line {noticed[0]}, column {noticed[1]}.", begin
    if "<stream end>" in said and unclosed:
        return "Bracket not closed", "What begins here has commas between its entries and ends with ] or }.", unclosed
    nearer = _line_before(text.splitlines(), mark.line, said)
    if nearer:
        return nearer
    for part, summary, detail in _EXPLAINED:
        if part in said:
            return summary, detail, noticed
    return "Not YAML", f"The YAML parser says: {said}.", noticed


def _line_before(lines: list[str], at: int, said: str) -> tuple[str, str, Position] | None:
    """What the line before number ``at`` (from 0) has to do with what the parser ``said`` of this one; None: nothing."""
    if at >= len(lines) or not said.startswith(("mapping values are not allowed", "expected <block end>")):
        return None
    filled = (one for one in range(at - 1, -1, -1) if lines[one].strip() and not lines[one].lstrip().startswith("#"))
    position = next(filled, at)
    before, indent = lines[position], _indent(lines[at])
    key = _KEY_WITHOUT_BLANK.match(before)
    if key:
        detail = f"After the colon of a key comes a blank: `{key[1]}: …`. Without it, this line is one word."
        return "Blank missing", detail, (position + 1, key.start(1) + 1)
    if indent > _indent(before) and _KEY_AND_VALUE.match(before):
        column = _indent(before) + 1
        detail = f"The line before has its value already. The keys of one mapping begin in one column, here column {column}."
        return "Wrong indentation", detail, (at + 1, indent + 1)
    return None


def _indent(line: str) -> int:
    """Where the first key of the line stands, also behind the dash of a list."""
    return len(line) - len(re.sub(r"^[ ]*(-[ ]+)?", "", line))
