"""``key show``, ``key export``, ``key import``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pragmaspec.cli.options import JsonOption, StackOptions, examples, expand_option_groups, local_path
from pragmaspec.cli.terminal.screen import err, out

app = typer.Typer(
    help="Share the key from which all keys of the stack follow.",
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(parent: typer.Typer) -> None:
    """Put the commands into ``parent``."""
    parent.add_typer(app, name="key", epilog=examples("key show", "key export hello.key", "key import hello.key"))


@app.command("show", epilog=examples("key show", "key show --json"))
@expand_option_groups
def show(*, json: JsonOption = False, which: StackOptions) -> None:
    """Where the key of this stack is, and its fingerprint. Never the key itself."""
    from pragmaspec.stack.key_sharing import key_status

    stack = which.stack()
    status = key_status(stack.lineage())
    if json:
        form = {"lineage": status.lineage, "file": status.file, "present": status.fingerprint is not None}
        out().json({"kind": "key", "format": 1, **form, "fingerprint": status.fingerprint})
        return
    out().say(f"stack        {status.lineage}")
    out().say(f"key          {status.file}" + ("" if status.fingerprint else "  (not on this machine)"))
    if status.fingerprint:
        out().say(f"fingerprint  {status.fingerprint}  (of the ssh key that pragmaspec logs in with)")


@app.command("export", epilog=examples("key export hello.key", "key export - | ssh colleague pragmaspec key import -"))
@expand_option_groups
def export(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A new file; `-`: standard output, which may be no terminal.", callback=local_path),
    ],
    *,
    which: StackOptions,
) -> None:
    """Write the key to a private file.

    With it a colleague can log in and add nodes: it opens every node of the stack. Move it over ssh or in a password
    manager, never by mail or git; then delete the file.
    """
    from pragmaspec.stack.key_sharing import export_key, exported_key

    lineage = which.stack().lineage()
    if file == "-":
        _refuse_terminal()
        out().write(exported_key(lineage).decode())
        return
    export_key(lineage, Path(file))
    err().say(f"{file} holds the key of stack {lineage}. Give it to your colleague over ssh, then delete it.")


@app.command("import", epilog=examples("key import hello.key", "key import - < hello.key"))
def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What `key export` wrote; `-`: standard input.", callback=local_path)
    ],
) -> None:
    """Keep the key that a colleague exported. Never replaces another one."""
    from pragmaspec.stack.key_sharing import KEY_FILE_LIMIT_BYTES, import_key

    status, new = import_key(_read(file, KEY_FILE_LIMIT_BYTES), "standard input" if file == "-" else file)
    out().say(f"The key of stack {status.lineage} is {'now' if new else 'already'} in {status.file}.")


def _read(path: str, most_bytes: int) -> bytes:
    from pragmaspec.errors import UsageError
    from pragmaspec.files import read_stream

    try:
        return read_stream(path, most_bytes)
    except OSError as error:
        raise UsageError("File not readable", f"{path}: {error.strerror or error}.") from error


def _refuse_terminal() -> None:
    from pragmaspec.errors import UsageError

    if sys.stdout.isatty():
        raise UsageError(
            "A secret is not shown",
            "Standard output is a terminal, which would keep the key in its history. Name a file, or pipe it on: "
            "`pragmaspec key export - | ssh colleague pragmaspec key import -`.",
        )
