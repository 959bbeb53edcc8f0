"""Errors as a person reads them: where, the quoted line with a caret, what is wrong, what to do."""

from collections.abc import Sequence

from pragmaspec.errors import Problem, Where
from pragmaspec.report.plan.layout import wrap_sentences
from pragmaspec.report.style import Style, Tone, display_width
from pragmaspec.text import counted

_INDENT = "  "
_LEAST_WIDTH = 40


def problems_text(problems: Sequence[Problem], *, width: int, colour: bool, unicode: bool = True) -> str:
    """Every problem, a blank line between them, and the number of errors and warnings when more than one. Ends with a newline.

    Sentences are wrapped to ``width`` columns; lines of a detail that begin with a blank (evidence: console output, lists) are
    kept as they are. Text that came from files, guests or sites cannot reach the terminal as control codes.
    """
    pen = Style(colour=colour, unicode=unicode)
    blocks = ["\n".join(_problem_lines(problem, pen, max(width, _LEAST_WIDTH))) for problem in problems]
    if len(blocks) > 1:
        warnings = sum(problem.severity == "warning" for problem in problems)
        blocks.append(pen.paint(_count(len(blocks) - warnings, warnings), "bold"))
    return "\n\n".join(blocks) + "\n"


def _problem_lines(problem: Problem, pen: Style, width: int) -> list[str]:
    tone: Tone = "danger" if problem.severity == "error" else "change"
    lines = [f"{pen.paint(problem.severity, tone)}: {pen.paint(pen.say(problem.summary), 'bold')}"]
    if problem.where is not None:
        lines.append(_INDENT + pen.paint(pen.say(str(problem.where)), "link"))
        if problem.quote is not None:
            lines += _quoted(problem.quote, problem.where, pen, width, tone)
    for paragraph in problem.detail.split("\n") if problem.detail else ():
        shown = pen.say(paragraph)
        if paragraph.startswith((" ", "\t")):
            lines.append(_INDENT + shown)
        else:
            lines += [_INDENT + piece for piece in wrap_sentences(shown, width - len(_INDENT))]
    return lines


def _count(errors: int, warnings: int) -> str:
    if not warnings:
        return f"{errors:,} problems."
    said = counted(warnings, "warning")
    return f"{counted(errors, 'error')} and {said}." if errors else f"{said}."


def _quoted(quote: str, where: Where, pen: Style, width: int, tone: Tone) -> list[str]:
    """The source line after its number, and a caret under the column; a long line is cut around the column."""
    number = f"{where.line:>6} | "
    room = width - len(number) - 2 * len("…")
    start = 0 if len(quote) <= room else max(0, min(where.column - 1 - room // 2, len(quote) - room))
    before, after = quote[start : where.column - 1], quote[max(where.column - 1, start) : start + room]
    more, less = ("…" if start else ""), ("…" if start + room < len(quote) else "")
    head = pen.say(more + before)
    caret = " " * (len(number) - 2) + "| " + " " * display_width(head) + pen.paint("^", tone)
    return [pen.paint(number, "dim") + head + pen.say(after + less), caret]
