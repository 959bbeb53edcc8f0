"""``init``: write a first spec."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pragmaspec.cli.options import examples, local_path
from pragmaspec.cli.terminal.screen import out

if TYPE_CHECKING:
    from pragmaspec.stack.scaffold import MachineFacts


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("init", epilog=examples("init", "init ~/clusters --simulated"))(init)


def init(
    directory: Annotated[
        str,
        typer.Argument(metavar="DIRECTORY", help="Target directory; created if needed.", show_default=False, callback=local_path),
    ] = ".",
    *,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Use a simulated site, to try everything without a hypervisor.")
    ] = False,
) -> None:
    """Write a first spec and its supporting files.

    Writes cluster.yaml, its schema for editors, and a .gitignore; with --simulated also an empty disk. Detects the local
    libvirt and ssh keys. Existing files are kept.
    """
    from pragmaspec.stack.scaffold import inspect_machine, write_scaffold

    found = inspect_machine()
    for written in write_scaffold(Path(directory), found, simulated=simulated):
        out().line(f"{'wrote' if written.new else 'kept '}  {written.path}" + ("" if written.new else "  (exists)"))
    _advise(found, Path(directory), simulated=simulated)


def _advise(found: "MachineFacts", directory: Path, *, simulated: bool) -> None:
    """Print the missing requirements of this machine, and the next command."""
    if not simulated and not found.libvirt:
        out().line("No libvirt socket was found. Start libvirtd, or set the `uri` of a remote host in cluster.yaml.")
    if not simulated and found.libvirt and not found.kvm:
        out().line("There is no /dev/kvm, so machines will be emulated, which is slow but works.")
    if not found.ssh_keys:
        out().line(
            "No ssh key was found in ~/.ssh or an agent. `pragmaspec ssh` works without one; for plain ssh: ssh-keygen -t ed25519"
        )
    where = "" if directory == Path() else f"cd {quote(str(directory))} && "
    out().line(f"Next: {where}pragmaspec plan")
