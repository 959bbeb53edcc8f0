"""What is wrong with text that is not YAML, in words for people."""

from ruamel.yaml.error import MarkedYAMLError

from pragmaspec.spec.tree import Spot

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
)
_EXPLAINED_AT_BEGIN = (
    ("could not find expected ':'", "Colon missing", "A key is followed by `: ` and a value; or the indentation is wrong."),
    ("expected ',' or '}'", "Brace not closed", "The mapping that begins here has commas between its entries and ends with }."),
    ("expected ',' or ']'", "Bracket not closed", "The list that begins here has commas between its entries and ends with ]."),
    ("found unexpected end of stream", "Quote not closed", "The text that begins here has no quote at its end."),
)
"""Of these the begin is shown, not where the parser noticed."""


def syntax_problem(error: MarkedYAMLError) -> tuple[str, str, Spot]:
    """Summary, detail and place of what the parser complains of."""
    said = str(error.problem or error.context or "")
    mark = error.problem_mark or error.context_mark
    noticed = (mark.line + 1, mark.column + 1)
    for part, summary, detail in _EXPLAINED_AT_BEGIN:
        if part in said and error.context_mark:
            begin = (error.context_mark.line + 1, error.context_mark.column + 1)
            return summary, f"{detail} Noticed at line {noticed[0]}, column {noticed[1]}.", begin
    for part, summary, detail in _EXPLAINED:
        if part in said:
            return summary, detail, noticed
    return "Not YAML", f"The YAML parser says: {said}.", noticed
