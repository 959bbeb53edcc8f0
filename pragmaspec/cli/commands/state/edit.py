"""``state mv``, ``state rm``, ``state push`` and ``state restore``: changing what is recorded, and nothing at any site."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import addresses, clusters
from pragmaspec.cli.options import ApproveOption, LockTimeoutOption, StackOptions, StealOption, examples, expand_option_groups
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.state_model import State

SHOWN = 12
"""How many addresses a question lists one by one."""


def register(parent: typer.Typer) -> None:
    """Put the commands into ``parent``."""
    parent.command("mv", epilog=examples("state mv hello world", "state mv --site lab hall"))(mv)
    lines = ("state rm hello-compute-3", 'state rm "lab/hello/*" --auto-approve')
    parent.command("rm", epilog=examples(*lines))(rm)


@expand_option_groups
def mv(
    source: Annotated[str, typer.Argument(metavar="FROM", help="What a cluster is called until now.", autocompletion=clusters)],
    target: Annotated[str, typer.Argument(metavar="TO", help="What it is called in the spec from now on.")],
    *,
    site: Annotated[bool, typer.Option("--site", help="FROM and TO are names of sites, not of clusters.")] = False,
    auto_approve: ApproveOption = False,
    steal_lock: StealOption = False,
    lock_timeout: LockTimeoutOption = "0",
    which: StackOptions,
) -> None:
    """Give what is recorded of a cluster another name.

    Its machines, disks and addresses stay what they are; the next apply tells the guests their new names. The spec's
    `moved:` does the same for everybody who applies it.
    """
    from pragmaspec.stack.state.edit import with_renamed

    def moved(state: "State") -> "State":
        return with_renamed(state, "site" if site else "cluster", source, target)

    _edit(
        which, f"state mv {source} {target}", moved, auto_approve=auto_approve, steal_lock=steal_lock, lock_timeout=lock_timeout
    )


@expand_option_groups
def rm(
    address: Annotated[
        list[str],
        typer.Argument(metavar="ADDRESS", help="Addresses, names, or patterns with *.", autocompletion=addresses),
    ],
    *,
    auto_approve: ApproveOption = False,
    steal_lock: StealOption = False,
    lock_timeout: LockTimeoutOption = "0",
    which: StackOptions,
) -> None:
    """Take things out of the state and leave them at their site.

    They keep their marks, so they then show as unrecorded; `pragmaspec orphans --adopt` takes them back.
    """
    from pragmaspec.stack.lookup import find_records
    from pragmaspec.stack.state.edit import without_records

    def left(state: "State") -> "State":
        return without_records(state, find_records(state, tuple(address)))

    _edit(
        which, f"state rm {' '.join(address)}", left, auto_approve=auto_approve, steal_lock=steal_lock, lock_timeout=lock_timeout
    )


def _edit(
    which: StackOptions,
    command: str,
    change: "Callable[[State], State]",
    *,
    auto_approve: bool,
    steal_lock: bool,
    lock_timeout: str,
) -> None:
    """Change the state under its lock, after saying what becomes of it."""
    from pragmaspec.cli.plan_and_apply import confirm, show_backend_warnings
    from pragmaspec.stack.state.edit import write_edit

    stack = which.stack(lock_timeout=lock_timeout)
    show_backend_warnings(stack)
    with stack.opened(command, steal_lock=steal_lock) as opened:
        before = opened.loaded.ledger.state
        after = change(before)
        says = difference_lines(before, after)
        if not says:
            out().say("No changes: the state says so already.")
            return
        for line in says:
            err().say(line)
        if not auto_approve:
            confirm("Change the state so?", "")
        print_state_summary(write_edit(stack.store, opened, after))


def print_state_summary(state: "State") -> None:
    """Which state stands now."""
    from pragmaspec.text import counted

    out().say(f"The state has serial {state.serial} now, with {counted(len(state.records), 'record')}.")


def difference_lines(before: "State", after: "State") -> list[str]:
    """What changing ``before`` into ``after`` does, a line each, with nothing said of what stays."""
    gone = [record for record in before.records if after.record(record.address) is None]
    new = [record for record in after.records if before.record(record.address) is None]
    moved = {record.original_address: record.address for record in new}
    lines = [
        f"  {record.address} → {moved.pop(record.original_address)}: the same object, another name"
        if record.original_address in moved
        else f"  {record.address} is no longer recorded; it stays at {record.resource.site}"
        for record in gone
    ]
    fresh = set(moved.values())
    lines += [f"  {record.address} is recorded" for record in new if record.address in fresh]
    changed = [record for record in after.records if before.record(record.address) not in (None, record)]
    lines += [f"  {record.address} is recorded otherwise" for record in changed]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"  and {more:,} more"] if more > 0 else lines
