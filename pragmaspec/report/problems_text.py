"""Human-readable errors: position, the quoted line with a caret, summary and detail."""

from collections.abc import Sequence

from pragmaspec.errors import Problem, Where
from pragmaspec.report.plan.layout import wrap_sentences
from pragmaspec.report.style import Style, Tone, display_width
from pragmaspec.text import counted

_INDENT = "  "
_MIN_WIDTH = 40


def problems_text(problems: Sequence[Problem], *, width: int, colour: bool, unicode: bool = True) -> str:
    """Return all problems, separated by blank lines, and their number if there are several.

    Sentences are wrapped to ``width`` columns; lines of a detail that begin with a blank (console output, lists) are kept. Text
    from files, guests or sites cannot reach the terminal as control sequences.
    """
    style = Style(colour=colour, unicode=unicode)
    blocks = ["\n".join(_problem_lines(problem, style, max(width, _MIN_WIDTH))) for problem in problems]
    if len(blocks) > 1:
        warnings = sum(problem.severity == "warning" for problem in problems)
        blocks.append(style.paint(_count(len(blocks) - warnings, warnings), "bold"))
    return "\n\n".join(blocks) + "\n"


def _problem_lines(problem: Problem, style: Style, width: int) -> list[str]:
    tone: Tone = "danger" if problem.severity == "error" else "change"
    lines = [f"{style.paint(problem.severity, tone)}: {style.paint(style.safe(problem.summary), 'bold')}"]
    if problem.where is not None:
        lines.append(_INDENT + style.paint(style.safe(str(problem.where)), "link"))
        if problem.quote is not None:
            lines += _quote_lines(problem.quote, problem.where, style, width, tone)
    for paragraph in problem.detail.split("\n") if problem.detail else ():
        text = style.safe(paragraph)
        if paragraph.startswith((" ", "\t")):
            lines.append(_INDENT + text)
        else:
            lines += [_INDENT + piece for piece in wrap_sentences(text, width - len(_INDENT))]
    return lines


def _count(errors: int, warnings: int) -> str:
    if not warnings:
        return f"{errors:,} problems."
    text = counted(warnings, "warning")
    return f"{counted(errors, 'error')} and {text}." if errors else f"{text}."


def _quote_lines(quote: str, where: Where, style: Style, width: int, tone: Tone) -> list[str]:
    """Return the source line after its number, and a caret under the column; a long line is cut around the column."""
    number = f"{where.line:>6} | "
    space = width - len(number) - 2 * len("…")
    start = 0 if len(quote) <= space else max(0, min(where.column - 1 - space // 2, len(quote) - space))
    before, after = quote[start : where.column - 1], quote[max(where.column - 1, start) : start + space]
    prefix, suffix = ("…" if start else ""), ("…" if start + space < len(quote) else "")
    head = style.safe(prefix + before)
    caret = " " * (len(number) - 2) + "| " + " " * display_width(head) + style.paint("^", tone)
    return [style.paint(number, "dim") + head + style.safe(after + suffix), caret]
