"""``init``."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.options import examples, local_path
from pragmaspec.cli.terminal.screen import out

if TYPE_CHECKING:
    from pragmaspec.stack.scaffold import MachineFacts


def register(app: typer.Typer) -> None:
    """Put the command into ``app``."""
    app.command("init", epilog=examples("init", "init ~/clusters --simulated"))(init)


def init(
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIRECTORY", help="Where to write; made when it is not there.", show_default=False, callback=local_path
        ),
    ] = ".",
    *,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="A pretended site, to try everything without a hypervisor.")
    ] = False,
) -> None:
    """Write a first spec and what goes with it.

    That is cluster.yaml, its schema for editors, and a .gitignore; with --simulated also an empty disk. Asks nothing, finds out
    what it can, overwrites nothing.
    """
    from pragmaspec.stack.scaffold import inspect_machine, write_scaffold

    found = inspect_machine()
    for written in write_scaffold(Path(directory), found, simulated=simulated):
        out().say(f"{'wrote' if written.new else 'kept '}  {written.path}" + ("" if written.new else "  (it was there)"))
    _advise(found, Path(directory), simulated=simulated)


def _advise(found: "MachineFacts", directory: Path, *, simulated: bool) -> None:
    """What is missing on this machine, and what to type next."""
    if not simulated and not found.libvirt:
        out().say("No libvirt socket was found here. Start libvirtd, or write the `uri` of a remote one into cluster.yaml.")
    if not simulated and found.libvirt and not found.kvm:
        out().say("There is no /dev/kvm here, so machines will be emulated, which is slow but works.")
    if not found.ssh_keys:
        out().say(
            "No ssh key was found in ~/.ssh or an agent. `pragmaspec ssh` works without one; for plain ssh: ssh-keygen -t ed25519"
        )
    where = "" if directory == Path() else f"cd {quote(str(directory))} && "
    out().say(f"Next: {where}pragmaspec plan")
