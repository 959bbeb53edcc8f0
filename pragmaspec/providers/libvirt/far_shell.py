"""Commands on a hypervisor's own host, by the ssh command that libvirt itself reaches it with.

What libvirt takes from a URI of the kind ``qemu+ssh://user@host:port/system?keyfile=…`` is documented in
https://libvirt.org/uri.html#ssh-transport. Only scripts that stand in this program are run; what varies goes in as their
arguments, quoted. The user's ssh configuration and agent count; nobody is asked for a password.
"""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

CONNECT_S = 10
TICK_S = 0.5
SSH_FAILED = 255
"""What ssh itself ends with when it could not connect or log in."""
_SAID_BYTES = 4096


class Ended(NamedTuple):
    """A command that has ended: exit status and what it printed, at most the last 4 KiB of each."""

    status: int
    said: str
    complained: str


class FarShell:
    """A shell on the host behind ``uri``. Nothing is connected between commands."""

    def __init__(self, uri: str) -> None:
        self._ssh = ssh_command(uri)

    def run(self, script: str, arguments: Sequence[str], limit_s: float, tick: Callable[[], None] = lambda: None) -> Ended:
        """Run the shell ``script`` with ``arguments`` as ``$1``, ``$2``, …; ``tick`` is called twice a second, and may raise.

        The script's standard input ends when this program does or gives up, and then it should, too. After ``limit_s`` seconds
        the command is given up, and counts as one that ssh failed at.
        """
        command = [*self._ssh, shlex.join(["sh", "-c", script, "sh", *arguments])]
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
            try:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=complained, start_new_session=True)
            except OSError as error:
                return Ended(SSH_FAILED, "", f"ssh: {error.strerror}")
            with process:
                try:
                    _wait(process, limit_s, tick)
                finally:
                    process.kill()
            status = process.returncode if process.returncode >= 0 else SSH_FAILED
            return Ended(status, *(_last(stream.fileno()) for stream in (said, complained)))


def ssh_command(uri: str) -> list[str]:
    """How the host of ``uri`` is reached, up to the command that it is to run. Pure."""
    parts = urlsplit(uri)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    command = [options.get("command", "ssh"), "-T", "-e", "none", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"]
    command += ["-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
    if options.get("no_verify", "0") != "0":
        command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    command += ["-p", str(parts.port)] if parts.port else []
    command += ["-l", unquote(parts.username)] if parts.username else []
    command += ["-i", options["keyfile"]] if "keyfile" in options else []
    return [*command, "--", parts.hostname or ""]


def _wait(process: "subprocess.Popen[bytes]", limit_s: float, tick: Callable[[], None]) -> None:
    for _ in range(max(1, round(limit_s / TICK_S))):
        with suppress(subprocess.TimeoutExpired):
            process.wait(TICK_S)
            return
        tick()


def _last(handle: int) -> str:
    size = os.fstat(handle).st_size
    words = os.pread(handle, _SAID_BYTES, max(0, size - _SAID_BYTES)).decode(errors="replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
