"""Setup scripts as values: a script with its systemd unit, and its files and commands for one node."""

from pragmaspec.frozen import Frozen
from pragmaspec.guest.guest_file import ALL_READ, EXECUTABLE, GuestFile

FAILURE_NOTE = "/run/pragmaspec-setup-failed"
"""Exists while a setup script has failed since the guest started."""

_UNITS = "/etc/systemd/system"


class SetupScript(Frozen, frozen=True):
    """An idempotent script that sets up a part of a guest, and the systemd unit that runs it at every boot."""

    name: str
    description: str
    ordering: tuple[str, ...]
    """Lines of the unit that place it among the other units of a boot."""
    target: str = "multi-user.target"
    """The unit that wants it."""

    @property
    def path(self) -> str:
        """The path of the script."""
        return f"/usr/local/sbin/{self.name}"

    @property
    def unit(self) -> str:
        """The path of the unit."""
        return f"{_UNITS}/{self.name}.service"

    @property
    def link(self) -> tuple[str, str]:
        """The link that enables the unit: path and target."""
        return f"{_UNITS}/{self.target}.wants/{self.name}.service", f"../{self.name}.service"


class NodeSetup(Frozen, frozen=True):
    """A setup script on one node."""

    script: SetupScript
    files: tuple[GuestFile, ...]
    """The files that do not depend on the operating system."""
    settings: tuple[GuestFile, ...] = ()
    """Further files for disks without cloud-init."""
    written: tuple[GuestFile, ...] = ()
    """The files that cloud-init writes, beside those that ``boot_command`` does."""
    boot_command: str = ""
    """Command for ``sh -c`` early in every boot; empty: none."""
    run_command: str = ""
    """Command for ``sh -c`` at the end of the first boot."""


def unit_text(script: SetupScript) -> str:
    """Return the systemd unit of ``script``."""
    ordering = "\n".join(script.ordering)
    return f"""\
[Unit]
Description={script.description}
{ordering}
ConditionPathExists={script.path}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={script.path}

[Install]
WantedBy={script.target}
"""


def unit_file(script: SetupScript) -> GuestFile:
    """Return the file of the systemd unit."""
    return GuestFile(path=script.unit, mode=ALL_READ, content=unit_text(script))


def install_and_run(script: SetupScript, text: str) -> str:
    """Return a command for ``sh -c`` that installs ``script`` with this text and runs it."""
    directory = script.path.rpartition("/")[0]
    write = f"mkdir -p {directory}\ncat > {script.path} <<'PRAGMASPEC'\n{text}PRAGMASPEC\n"
    return f"{write}chmod 755 {script.path}\nexec {script.path}\n"


def enable_unit(script: SetupScript) -> str:
    """Return a command that enables the systemd unit of ``script``."""
    path, target = script.link
    return f"mkdir -p {path.rpartition('/')[0]} && ln -sf {target} {path}"


def run_with_failure_noted(script: SetupScript) -> str:
    """Return a command that runs ``script``, succeeds in any case, and notes a failure for a repetition."""
    return f"{script.path} || : >{FAILURE_NOTE}"


def script_file(script: SetupScript, text: str) -> GuestFile:
    """Return the file of the script with this text."""
    return GuestFile(path=script.path, mode=EXECUTABLE, content=text)
