"""The confirmation question."""

import sys

import typer

from pragmaspec.cli.terminal.screen import err

EXIT_DECLINED = 1
EXIT_INTERRUPTED = 130
_SAVED_PLAN = "; or save the plan with `pragmaspec plan --out FILE`, review it, and run `pragmaspec apply FILE --auto-approve`"


def confirm(question: str = "Apply this plan?", alternative: str = _SAVED_PLAN) -> None:
    """Ask ``question``, and end the command unless the answer is yes.

    Raises PlanRefusedError, with ``alternative``, if standard input is not a terminal.
    """
    from pragmaspec.errors import PlanRefusedError

    if not sys.stdin.isatty():
        raise PlanRefusedError(
            "Confirmation required",
            f"Standard input is not a terminal, so nothing was changed. Use --auto-approve{alternative}.",
        )
    try:
        err().write(f"\n{question} [y/N] ")
        answer, status = sys.stdin.readline(), EXIT_DECLINED
    except KeyboardInterrupt:
        answer, status = "", EXIT_INTERRUPTED
    if answer.strip().lower() not in ("y", "yes"):
        if not answer:  # the cursor is still in the line of the question
            err().write("\n")
        err().line("Nothing was changed.")
        raise typer.Exit(status)
