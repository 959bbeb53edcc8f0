"""``state mv`` and ``state rm``: edit the recorded state without changing any site."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.completion import addresses, clusters
from pragmaspec.cli.options import ApproveOption, LockTimeoutOption, StackOptions, StealOption, examples, expand_option_groups
from pragmaspec.cli.terminal.confirm import confirm
from pragmaspec.cli.terminal.plan_output import show_backend_warnings
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.state_model import State

MAX_LINES = 12
"""Number of records that are listed before a question."""
MAX_FIELDS = 3
"""Number of fields that are listed per record."""


@dataclass(frozen=True)
class EditOptions:
    """Options for the confirmation and the lock of an edit."""

    auto_approve: ApproveOption = False
    steal_lock: StealOption = False
    lock_timeout: LockTimeoutOption = "0"


def register(parent: typer.Typer) -> None:
    """Add the commands to ``parent``."""
    parent.command("mv", epilog=examples("state mv hello world", "state mv --site lab hall"))(mv)
    lines = ("state rm hello-compute-3", 'state rm "lab/hello/*" --auto-approve')
    parent.command("rm", epilog=examples(*lines))(rm)


@expand_option_groups
def mv(
    source: Annotated[str, typer.Argument(metavar="FROM", help="Recorded name of the cluster.", autocompletion=clusters)],
    target: Annotated[str, typer.Argument(metavar="TO", help="New name of the cluster, as in the spec.")],
    *,
    site: Annotated[bool, typer.Option("--site", help="Rename a site instead of a cluster.")] = False,
    edit: EditOptions,
    stack_options: StackOptions,
) -> None:
    """Rename a cluster in the state.

    Its machines, disks and addresses are kept; the next apply updates the names in the guests. To rename a cluster for
    everyone, use `moved:` in the spec.
    """
    from pragmaspec.stack.state.edit import with_renamed

    def rename(state: "State") -> "State":
        return with_renamed(state, "site" if site else "cluster", source, target)

    _edit(stack_options, f"state mv {source} {target}", rename, edit)


@expand_option_groups
def rm(
    address: Annotated[
        list[str],
        typer.Argument(metavar="ADDRESS", help="Addresses, names, or patterns with *.", autocompletion=addresses),
    ],
    *,
    edit: EditOptions,
    stack_options: StackOptions,
) -> None:
    """Remove records from the state, but not the resources from their site.

    The resources keep their metadata and are shown as unrecorded; `pragmaspec orphans --adopt` records them again.
    """
    from pragmaspec.stack.lookup import find_records
    from pragmaspec.stack.state.edit import without_records

    def remove(state: "State") -> "State":
        return without_records(state, find_records(state, tuple(address)))

    _edit(stack_options, f"state rm {' '.join(address)}", remove, edit)


def _edit(stack_options: StackOptions, command: str, change: "Callable[[State], State]", options: EditOptions) -> None:
    """Apply ``change`` to the state under its lock, after showing the differences and asking."""
    from pragmaspec.stack.state.edit import write_edit

    stack = stack_options.stack(lock_timeout=options.lock_timeout)
    show_backend_warnings(stack)
    with stack.opened(command, steal_lock=options.steal_lock) as opened:
        before = opened.loaded.state
        after = change(before)
        lines = difference_lines(before, after)
        if not lines:
            out().line("No changes to the state.")
            return
        for line in lines:
            err().line(line)
        if not options.auto_approve:
            confirm("Apply this change to the state?", "")
        print_state_summary(write_edit(stack.store, opened, after))


def print_state_summary(state: "State") -> None:
    """Print serial and size of the new state."""
    from pragmaspec.text import counted

    out().line(f"The state now has serial {state.serial} and {counted(len(state.records), 'record')}.")


def difference_lines(before: "State", after: "State") -> list[str]:
    """Return the differences between two states, one per line; unchanged records are omitted."""
    from pragmaspec.planning.diff import nested_differences
    from pragmaspec.text import few

    removed = [record for record in before.records if after.record(record.address) is None]
    added = [record for record in after.records if before.record(record.address) is None]
    renamed = {record.original_address: record.address for record in added}
    lines = [
        f"  {record.address} → {renamed.pop(record.original_address)}: renamed, same resource"
        if record.original_address in renamed
        else f"  {record.address}: record removed; the resource stays at {record.resource.site}"
        for record in removed
    ]
    new = set(renamed.values())
    lines += [f"  {record.address}: record added" for record in added if record.address in new]
    for record in after.records:
        old = before.record(record.address)
        if old is not None and old != record:
            lines.append(f"  {record.address}: {few(nested_differences(old, record), MAX_FIELDS)}")
    more = len(lines) - MAX_LINES
    return [*lines[:MAX_LINES], f"  and {more:,} more"] if more > 0 else lines
