"""``orphans``: find and adopt objects at the sites that are in no state."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import sites
from pragmaspec.cli.options import JsonOption, LockTimeoutOption, RollbackOption, StackOptions, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.planning.wanted import Wanted
    from pragmaspec.site import Site
    from pragmaspec.stack.stack import Stack
    from pragmaspec.state_model import State


AdoptOption = Annotated[
    list[str] | None,
    typer.Option(
        "--adopt",
        metavar="ADDRESS",
        help="Record these objects, to be repaired or cleaned by the next plan. Patterns with *. Repeatable.",
    ),
]
LineageOption = Annotated[
    str | None,
    typer.Option("--lineage", metavar="UUID", help="The stack whose state was lost; only if nothing is recorded."),
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    lines = ("orphans", "orphans --all --site lab", "orphans --adopt lab/hello/node/hello-compute-3", 'orphans --adopt "*"')
    app.command("orphans", epilog=examples(*lines))(orphans)


@expand_option_groups
def orphans(
    *,
    site: Annotated[str | None, typer.Option("--site", metavar="SITE", help="Only at this site.", autocompletion=sites)] = None,
    all_stacks: Annotated[bool, typer.Option("--all", help="Include the objects of other stacks.")] = False,
    adopt: AdoptOption = None,
    lineage: LineageOption = None,
    json: JsonOption = False,
    accept_rollback: RollbackOption = False,
    lock_timeout: LockTimeoutOption = "0",
    stack_options: StackOptions,
) -> None:
    """Find objects of this stack that are in no state.

    Adopt them to complete a state that was lost or restored. Nothing at the sites is changed.
    """
    from pragmaspec.cli.site_selection import select_sites
    from pragmaspec.report.orphans_text import orphans_json, orphans_text, other_stacks_text
    from pragmaspec.stack.sites import Sites, known_sites
    from pragmaspec.stack.state.orphans import find_orphans, find_other_stacks

    with stack_options.stack(accept_rollback=accept_rollback, lock_timeout=lock_timeout) as stack:
        state, wanted = _state(stack, lineage), _wanted(stack, whole=bool(adopt))
        selected = select_sites(known_sites(wanted, state), site)
        if adopt:
            _adopt(stack, tuple(adopt), wanted, selected, state)
            return
        names = tuple(each.name for each in selected)
        with Sites(selected) as sites:
            found = find_orphans(state, sites, names)
            others = find_other_stacks(state.lineage, sites, names) if all_stacks else None
    if json:
        out().json(orphans_json(found, names, others))
        return
    out().write(orphans_text(found, names, out().style))
    if others is not None:
        out().write("\n" + other_stacks_text(others, out().style))


def _adopt(
    stack: "Stack", patterns: tuple[str, ...], wanted: "Wanted | None", selected: "tuple[Site, ...]", state: "State"
) -> None:
    """Query the sites again under the lock, and record the objects that match ``patterns``."""
    from pragmaspec.stack.sites import Sites
    from pragmaspec.stack.state.edit import write_edit
    from pragmaspec.stack.state.orphans import adopt_orphans, find_orphans, select_orphans

    with stack.opened("orphans --adopt", state.lineage) as opened, Sites(selected) as sites:
        current = opened.loaded.state
        found = find_orphans(current, sites, [each.name for each in selected])
        adopted = adopt_orphans(select_orphans(found, patterns), current, wanted, sites, selected)
        write_edit(stack.store, opened, adopted.state)
    for address in adopted.addresses:
        out().line(f"{address} is recorded as degraded")
    err().line("`pragmaspec plan` shows the actions for it.")


def _state(stack: "Stack", lineage: str | None) -> "State":
    """Return the recorded state, or an empty one for ``lineage``. Raises UsageError if another stack is recorded."""
    from pragmaspec.errors import UsageError

    loaded = stack.store.load(lineage)
    state = loaded.state
    if lineage is not None and state.lineage != lineage:
        raise UsageError(
            "Another stack is recorded",
            f"The state at {stack.store.backend.title} belongs to stack {state.lineage}, not {lineage}. Use --lineage "
            "only if the state was lost.",
        )
    return state if loaded.exists or lineage is not None else stack.state()


def _wanted(stack: "Stack", *, whole: bool) -> "Wanted | None":
    """Return the spec, if any. ``whole``: including images and keys, to record adopted objects as desired."""
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS

    return stack.wanted(image_progress(), need=None if whole else NO_CLUSTER_DETAILS) if stack.location.spec is not None else None
