"""``state push``, ``state restore`` and ``state migrate``: replace or copy a whole state."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.commands.state.edit import difference_lines, print_state_summary
from pragmaspec.cli.input_file import input_name, read_input
from pragmaspec.cli.options import (
    ApproveOption,
    LockTimeoutOption,
    StackOptions,
    examples,
    expand_option_groups,
    local_path,
    wait_for_locks,
)
from pragmaspec.cli.terminal.confirm import confirm
from pragmaspec.cli.terminal.screen import err, out

if TYPE_CHECKING:
    from pragmaspec.state.store import Store
    from pragmaspec.state_model import State

_MAX_BYTES = 512 * 2**20


def register(parent: typer.Typer) -> None:
    """Add the commands to ``parent``."""
    parent.command("push", epilog=examples("state push state.json", "state push - < state.json"))(push)
    parent.command("restore", epilog=examples("state restore 41"))(restore)
    lines = ("state migrate s3://bucket/hello", "state migrate", "state migrate ./states/hello --from s3://bucket/hello")
    parent.command("migrate", epilog=examples(*lines))(migrate)


@expand_option_groups
def push(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="The output of `state pull`, possibly edited; `-`: standard input.", callback=local_path
        ),
    ],
    *,
    auto_approve: ApproveOption = False,
    lock_timeout: LockTimeoutOption = "0",
    stack_options: StackOptions,
) -> None:
    """Replace the recorded state.

    The new state must belong to this stack and not be older than the recorded one. After editing it, remove its `sha256`
    line. The replaced state is kept in `state history`.
    """
    from pragmaspec.stack.state.access import decode_state
    from pragmaspec.state import transfer

    text, name = read_input(file, _MAX_BYTES), input_name(file)
    with stack_options.stack(lock_timeout=lock_timeout) as stack:
        store = stack.store
        _confirm_replacement(store, decode_state(store, text, name), name, auto_approve=auto_approve)
        print_state_summary(transfer.push(store, text.decode()))


@expand_option_groups
def restore(
    serial: Annotated[int, typer.Argument(metavar="SERIAL", help="A serial from `state history`.")],
    *,
    auto_approve: ApproveOption = False,
    lock_timeout: LockTimeoutOption = "0",
    stack_options: StackOptions,
) -> None:
    """Restore a stored version of the state, under a new serial.

    Works for an unreadable current state, too. Sites are not changed: the next plan shows resources created since then as
    unrecorded, and removed ones as gone.
    """
    from pragmaspec.stack.state.access import decode_state
    from pragmaspec.state import transfer

    with stack_options.stack(lock_timeout=lock_timeout) as stack:
        store = stack.store
        name = f"version {serial} of {store.backend.title}"
        version = decode_state(store, store.backend.version(serial), name)
        _confirm_replacement(store, version, f"version {serial}", auto_approve=auto_approve)
        print_state_summary(transfer.restore(store, serial))


@expand_option_groups
def migrate(
    target: Annotated[
        str | None,
        typer.Argument(metavar="URL|DIR", help="New location. Default: the spec's `state:`.", show_default=False),
    ] = None,
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL|DIR", help="Current location. Default: the spec's `state:`, else state/<stack>."),
    ] = None,
    auto_approve: ApproveOption = False,
    lock_timeout: LockTimeoutOption = "0",
    stack_options: StackOptions,
) -> None:
    """Copy the state to another location.

    Both locks are held; the copy is read back and compared. Nothing is removed at the old location, but this machine rejects
    that state from now on. Write the new location into the spec's `state:`, so that everyone uses it.
    """
    from pragmaspec.stack.state.migrate import Migration
    from pragmaspec.text import counted

    migration = Migration.of(stack_options.stack().location, source, target)
    for store in (migration.source, migration.target):
        wait_for_locks(store, lock_timeout)
    state = migration.source.read()
    old, new = migration.source.backend.title, migration.target.backend.title
    err().line(f"Copying the state of stack {state.lineage}, serial {state.serial}, {counted(len(state.records), 'record')},")
    err().line(f"  from {old}")
    err().line(f"  to {new}" + (", encrypted" if migration.encrypt else ""))
    if not auto_approve:
        confirm("Copy the state?", "")
    print_state_summary(migration.copy())
    if migration.state_from_spec:
        out().line(f"The spec already has this location. The state at {old} is outdated and can be removed.")
    else:
        out().line(f"Now write `state: {migration.line}` into the spec. The state at {old} is outdated.")


def _confirm_replacement(store: "Store", new: "State", name: str, *, auto_approve: bool) -> None:
    """Show the differences between the recorded state and ``new``, and ask."""
    from pragmaspec.errors import StateUnreadableError

    try:
        before = store.read()
    except StateUnreadableError as error:
        summary = error.problems[0].summary
        err().line(f"The state at {store.backend.title} cannot be read ({summary}) and will be replaced by {name}.")
    else:
        err().line(f"The state at {store.backend.title}, serial {before.serial}, will be replaced by {name}:")
        for line in difference_lines(before, new) or ["  the records are the same"]:
            err().line(line)
    if not auto_approve:
        confirm("Replace the state?", "")
