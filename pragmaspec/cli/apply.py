"""``apply``."""

from pathlib import Path
from typing import Annotated

import typer

from pragmaspec.cli.carrying import Manner, carry_out
from pragmaspec.cli.complete import specs
from pragmaspec.cli.options import (
    AllowOption,
    ApproveOption,
    ExcludeOption,
    JsonOption,
    SpecOption,
    StateOption,
    TargetOption,
    VerboseOption,
    examples,
    one_spec,
)


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    lines = ("apply", "apply hello.plan --auto-approve", "apply --allow rebuild --allow data-loss")
    app.command("apply", epilog=examples(*lines))(apply)


def apply(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC|PLANFILE",
            help="The spec, found as by plan when absent; or a plan saved with --out, which is then done exactly.",
            autocompletion=specs,
            show_default=False,
        ),
    ] = None,
    *,
    auto_approve: ApproveOption = False,
    allow: AllowOption = None,
    target: TargetOption = None,
    exclude: ExcludeOption = None,
    json: JsonOption = False,
    verbose: VerboseOption = False,
    spec_option: SpecOption = None,
    state_dir: StateOption = None,
) -> None:
    """Make the sites be as the spec says.

    Plans, shows the plan, asks, does it in parallel and records every step. Running it again after a failure or an
    interruption continues. Rebuilding nodes, losing their disks and cleaning what is protected must be allowed by name.
    """
    manner = Manner(allow=tuple(allow or ()), ask=not auto_approve, json=json, verbose=verbose)
    if spec is not None and is_saved(spec):
        if target or exclude or spec_option or state_dir:
            raise typer.BadParameter(
                "a saved plan is applied as it is; plan anew to choose --target, --exclude, --spec or --state-dir"
            )
        _saved(Path(spec), manner)
        return
    from pragmaspec.planning.request import PlanRequest
    from pragmaspec.stack.stack import Stack

    request = PlanRequest(targets=tuple(target or ()), exclude=tuple(exclude or ()))
    with Stack(one_spec(spec, spec_option), state=state_dir) as stack:
        carry_out(stack, "apply", lambda run: run.plan(request), manner)


def is_saved(file: str) -> bool:
    """Whether ``file`` is a saved plan rather than a spec."""
    from pragmaspec.stack.saved import is_saved_plan

    return is_saved_plan(Path(file))


def _saved(file: Path, manner: Manner) -> None:
    from pragmaspec.stack.saved import place_of, read_saved_plan
    from pragmaspec.stack.stack import Stack

    saved = read_saved_plan(file)
    with Stack(place=place_of(saved)) as stack:
        carry_out(stack, f"apply {file.name}", lambda run: run.bound(saved.plan), manner, saved.plan.lineage)
