"""``state push``, ``state restore`` and ``state migrate``: whole states, put in the place of another or somewhere else."""

from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.commands.state.edit import difference_lines, print_state_summary
from pragmaspec.cli.options import (
    ApproveOption,
    LockTimeoutOption,
    StackOptions,
    examples,
    expand_option_groups,
    local_path,
    wait_for_locks,
)
from pragmaspec.cli.terminal.screen import err, out

_BYTES_MAX = 512 * 2**20

if TYPE_CHECKING:
    from pragmaspec.state.store import Store
    from pragmaspec.state_model import State


def register(parent: typer.Typer) -> None:
    """Put the commands into ``parent``."""
    parent.command("push", epilog=examples("state push state.json", "state push - < state.json"))(push)
    parent.command("restore", epilog=examples("state restore 41"))(restore)
    lines = ("state migrate s3://bucket/hello", "state migrate", "state migrate ./states/hello --from s3://bucket/hello")
    parent.command("migrate", epilog=examples(*lines))(migrate)


@expand_option_groups
def push(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="What `state pull` printed, perhaps edited; `-`: standard input.", callback=local_path
        ),
    ],
    *,
    auto_approve: ApproveOption = False,
    lock_timeout: LockTimeoutOption = "0",
    which: StackOptions,
) -> None:
    """Put a state in the place of the recorded one.

    It must belong to this stack and not be older than what is recorded. Whoever edited it takes its line `sha256` out. The
    replaced one stays in `state history`.
    """
    from pragmaspec.stack.state.access import decode_state

    text, name = _read(file)
    with which.stack(lock_timeout=lock_timeout) as stack:
        store = stack.store
        _announce(store, decode_state(store, text, name), f"what {name} holds", auto_approve=auto_approve)
        print_state_summary(store.push(text.decode()))


@expand_option_groups
def restore(
    serial: Annotated[int, typer.Argument(metavar="SERIAL", help="As `state history` tells it.")],
    *,
    auto_approve: ApproveOption = False,
    lock_timeout: LockTimeoutOption = "0",
    which: StackOptions,
) -> None:
    """Put a kept version of the state back, under a new serial.

    Also when the one that stands cannot be read. Sites are not touched: the next plan shows what was made since then as
    unrecorded, and what was removed as gone.
    """
    from pragmaspec.stack.state.access import decode_state

    with which.stack(lock_timeout=lock_timeout) as stack:
        store = stack.store
        name = f"version {serial} of {store.ground.title}"
        kept = decode_state(store, store.ground.version(serial), name)
        _announce(store, kept, f"what version {serial} holds", auto_approve=auto_approve)
        print_state_summary(store.restore(serial))


@expand_option_groups
def migrate(
    target: Annotated[
        str | None,
        typer.Argument(metavar="URL|DIR", help="Where to. Default: what the spec's `state:` says.", show_default=False),
    ] = None,
    *,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="URL|DIR", help="Where it is. Default: where the spec says, else state/<stack>."),
    ] = None,
    auto_approve: ApproveOption = False,
    lock_timeout: LockTimeoutOption = "0",
    which: StackOptions,
) -> None:
    """Copy the state to another place.

    Under both locks; the copy is read back and compared. Nothing is removed at the old place, but this machine takes what
    is there for outdated from then on. Write the new one into the spec's `state:`, so that everybody uses it.
    """
    from pragmaspec.cli.plan_and_apply import confirm
    from pragmaspec.stack.state.migrate import Migration
    from pragmaspec.text import counted

    move = Migration.of(which.stack().place, source, target)
    for store in (move.source, move.target):
        wait_for_locks(store, lock_timeout)
    state = move.source.read()
    here, there = move.source.ground.title, move.target.ground.title
    err().say(f"The state of stack {state.lineage}, serial {state.serial}, {counted(len(state.records), 'record')},")
    err().say(f"  is copied from {here}")
    err().say(f"  to {there}" + (", encrypted" if move.encrypt else ""))
    if not auto_approve:
        confirm("Copy it?", "")
    print_state_summary(move.copy())
    if move.state_from_spec:
        out().say(f"The spec says so already. What is at {here} is outdated: remove it when nobody needs it.")
    else:
        out().say(f"Now write `state: {move.line}` into the spec. What is at {here} is outdated: use it no more.")


def _announce(store: "Store", coming: "State", what: str, *, auto_approve: bool) -> None:
    """Say what putting ``coming`` in the place of what stands does, and ask."""
    from pragmaspec.cli.plan_and_apply import confirm
    from pragmaspec.errors import StateUnreadableError

    try:
        before = store.read()
    except StateUnreadableError as error:
        err().say(f"What stands at {store.ground.title} cannot be read ({error.problems[0].summary}); it is replaced by {what}.")
    else:
        err().say(f"The state at {store.ground.title}, serial {before.serial}, is replaced by {what}:")
        for line in difference_lines(before, coming) or ["  the records stay as they are"]:
            err().say(line)
    if not auto_approve:
        confirm("Replace it?", "")


def _read(file: str) -> tuple[bytes, str]:
    """The content of ``file`` and what errors call it."""
    from pragmaspec.errors import UsageError
    from pragmaspec.files import STANDARD_STREAM, read_stream

    name = "standard input" if file == STANDARD_STREAM else file
    try:
        return read_stream(file, _BYTES_MAX), name
    except OSError as error:
        raise UsageError("File not readable", f"{name}: {error.strerror or error}.") from error
