"""``plan``."""

from typing import Annotated

import typer

from pragmaspec.cli.options import (
    AcceptOptions,
    DetailedOption,
    ExcludeOption,
    JsonOption,
    PruneImagesOption,
    ReplaceOption,
    SaveOption,
    SpecArgument,
    StackOptions,
    TargetOption,
    VerboseOption,
    examples,
    expand_option_groups,
)


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("plan", epilog=examples("plan", "plan hello.yaml --out hello.plan", "plan --target hello-compute-3"))(plan)


@expand_option_groups
def plan(
    named: SpecArgument = None,
    *,
    save: SaveOption = None,
    json: JsonOption = False,
    detailed_exitcode: DetailedOption = False,
    target: TargetOption = None,
    exclude: ExcludeOption = None,
    replace: ReplaceOption = None,
    prune_images: PruneImagesOption = False,
    refresh: Annotated[bool, typer.Option("--refresh/--no-refresh", help="Look at the sites, or trust what is recorded.")] = True,
    locked: Annotated[
        bool, typer.Option("--locked", help="Refuse images that are not exactly as pragmaspec.lock has them.")
    ] = False,
    verbose: VerboseOption = False,
    accepting: AcceptOptions,
    which: StackOptions,
) -> None:
    """Show what apply would do, why, and at what risk. Changes nothing."""
    from pragmaspec.cli.preview import preview
    from pragmaspec.planning.request import PlanRequest

    request = PlanRequest(
        targets=tuple(target or ()),
        exclude=tuple(exclude or ()),
        replace=tuple(replace or ()),
        accept_missing=accepting.accept_missing,
        prune_images=prune_images,
    )
    with which.stack(named, accept_rollback=accepting.accept_rollback, locked=locked) as stack:
        preview(
            stack,
            lambda planner: planner.plan(request, refresh=refresh),
            save=save,
            json=json,
            verbose=verbose,
            detailed_exitcode=detailed_exitcode,
        )
