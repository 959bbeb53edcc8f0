"""``key show``, ``key export`` and ``key import``: share the secret key of a stack."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pragmaspec.cli.command_group import command_group
from pragmaspec.cli.input_file import input_name, read_input
from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups, local_path
from pragmaspec.cli.terminal.screen import err, out

app = command_group("Share the secret key of the stack with colleagues.")


def register(parent: typer.Typer) -> None:
    """Add the commands to ``parent``."""
    parent.add_typer(app, name="key", epilog=examples("key show", "key export hello.key", "key import hello.key"))


@app.command("show", epilog=examples("key show", "key show --json"))
@expand_option_groups
def show(*, json: JsonOption = False, stack_options: StackOptions) -> None:
    """Show the path and fingerprint of the stack's key, but never the key itself."""
    from pragmaspec.stack.key_sharing import key_status

    stack = stack_options.stack()
    status = key_status(stack.lineage())
    if json:
        form = {"lineage": status.lineage, "file": status.file, "present": status.fingerprint is not None}
        out().json({"kind": "key", "format": 1, **form, "fingerprint": status.fingerprint})
        return
    out().line(f"stack        {status.lineage}")
    out().line(f"key          {status.file}" + ("" if status.fingerprint else "  (not on this machine)"))
    if status.fingerprint:
        out().line(f"fingerprint  {status.fingerprint}  (of pragmaspec's ssh login key)")


@app.command("export", epilog=examples("key export hello.key", "key export - | ssh colleague pragmaspec key import -"))
@expand_option_groups
def export(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A new file; `-`: standard output, unless it is a terminal.", callback=local_path),
    ],
    *,
    stack_options: StackOptions,
) -> None:
    """Write the key to a private file.

    It lets a colleague log in to every node of the stack, and add nodes. Transfer it over ssh or in a password manager,
    never by mail or git; then delete the file.
    """
    from pragmaspec.stack.key_sharing import export_key, exported_key

    lineage = stack_options.stack().lineage()
    if file == "-":
        _refuse_terminal()
        out().write(exported_key(lineage).decode())
        return
    export_key(lineage, Path(file))
    err().line(f"{file} contains the key of stack {lineage}. Send it to your colleague over ssh, then delete it.")


@app.command("import", epilog=examples("key import hello.key", "key import - < hello.key"))
def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The output of `key export`; `-`: standard input.", callback=local_path)
    ],
) -> None:
    """Install a key exported by a colleague. Never replaces a different key."""
    from pragmaspec.stack.key_sharing import KEY_FILE_LIMIT_BYTES, import_key

    status, new = import_key(read_input(file, KEY_FILE_LIMIT_BYTES), input_name(file))
    out().line(f"The key of stack {status.lineage} is {'now' if new else 'already'} in {status.file}.")


def _refuse_terminal() -> None:
    from pragmaspec.errors import UsageError

    if sys.stdout.isatty():
        raise UsageError(
            "Key not printed to a terminal",
            "A terminal would keep the key in its history. Name a file, or use a pipe: "
            "`pragmaspec key export - | ssh colleague pragmaspec key import -`.",
        )
