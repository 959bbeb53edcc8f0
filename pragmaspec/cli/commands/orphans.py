"""``orphans``."""

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
        "--adopt", metavar="ADDRESS", help="Record it: the next plan repairs or cleans it. Patterns with *. Repeatable."
    ),
]
LineageOption = Annotated[
    str | None,
    typer.Option("--lineage", metavar="UUID", help="The stack whose state was lost; only while nothing is recorded."),
]


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    lines = ("orphans", "orphans --all --site lab", "orphans --adopt lab/hello/node/hello-compute-3", 'orphans --adopt "*"')
    app.command("orphans", epilog=examples(*lines))(orphans)


@expand_option_groups
def orphans(
    *,
    site: Annotated[str | None, typer.Option("--site", metavar="SITE", help="Only at this site.", autocompletion=sites)] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Also what the sites hold of other stacks.")] = False,
    adopt: AdoptOption = None,
    lineage: LineageOption = None,
    json: JsonOption = False,
    accept_rollback: RollbackOption = False,
    lock_timeout: LockTimeoutOption = "0",
    which: StackOptions,
) -> None:
    """Show what carries our marks at the sites and is in no state.

    A state that was lost or put back can be made whole again from it. Nothing at a site is touched.
    """
    from pragmaspec.report.orphans_text import orphans_json, orphans_text, other_stacks_text
    from pragmaspec.stack.sites import Sites
    from pragmaspec.stack.state.orphans import find_orphans, find_other_stacks

    with which.stack(accept_rollback=accept_rollback, lock_timeout=lock_timeout) as stack:
        state, wanted = _state(stack, lineage), _wanted(stack, whole=bool(adopt))
        options = _options(wanted, state, site)
        names = tuple(sorted(each.name for each in options))
        if adopt:
            _adopt(stack, tuple(adopt), wanted, options, state)
            return
        with Sites(options) as sites:
            found = find_orphans(state, sites, names)
            others = find_other_stacks(state.lineage, sites, names) if everybody else None
    if json:
        out().json(orphans_json(found, names, others))
        return
    out().write(orphans_text(found, names, out().pen))
    if others is not None:
        out().write("\n" + other_stacks_text(others, out().pen))


def _adopt(
    stack: "Stack", patterns: tuple[str, ...], wanted: "Wanted | None", options: "tuple[Site, ...]", state: "State"
) -> None:
    """Look again under the lock, record what is meant, and say what comes next."""
    from pragmaspec.stack.sites import Sites
    from pragmaspec.stack.state.edit import write_edit
    from pragmaspec.stack.state.orphans import adopt_orphans, find_orphans, select_orphans

    with stack.opened("orphans --adopt", state.lineage) as opened, Sites(options) as sites:
        standing = opened.loaded.ledger.state
        found = find_orphans(standing, sites, [each.name for each in options])
        taken = adopt_orphans(select_orphans(found, patterns), standing, wanted, sites, options)
        write_edit(stack.store, opened, taken.state)
    for address in taken.addresses:
        out().say(f"{address} is recorded, as degraded")
    err().say("`pragmaspec plan` shows what becomes of it.")


def _state(stack: "Stack", lineage: str | None) -> "State":
    """What is recorded; with ``lineage`` an empty state of that stack. Raises UsageError when another one is recorded."""
    from pragmaspec.errors import UsageError

    loaded = stack.store.load(lineage)
    state = loaded.ledger.state
    if lineage is not None and state.lineage != lineage:
        raise UsageError(
            "Another stack is recorded",
            f"The state at {stack.store.ground.title} is that of stack {state.lineage}, not {lineage}. --lineage is "
            "for a state that was lost.",
        )
    return state if loaded.on_disk or lineage is not None else stack.state()


def _wanted(stack: "Stack", *, whole: bool) -> "Wanted | None":
    """The spec; ``whole``: with what nodes are made from, for what is to be recorded as the spec wants it."""
    from pragmaspec.cli.terminal.image_progress import image_progress
    from pragmaspec.stack.cluster_requests import NO_CLUSTER_DETAILS

    return stack.wanted(image_progress(), need=None if whole else NO_CLUSTER_DETAILS) if stack.place.spec is not None else None


def _options(wanted: "Wanted | None", state: "State", site: str | None) -> "tuple[Site, ...]":
    """The sites to look at. Raises UsageError when ``site`` is none of them."""
    from pragmaspec.errors import UsageError
    from pragmaspec.stack.sites import known_sites

    known = known_sites(wanted, state)
    chosen = tuple(each for each in known if site in (None, each.name))
    if site is not None and not chosen:
        names = ", ".join(sorted(each.name for each in known)) or "none"
        raise UsageError("No such site", f"Nothing is called {site}. Known sites: {names}.")
    return chosen
