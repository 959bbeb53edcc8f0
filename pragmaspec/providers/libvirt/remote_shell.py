"""Commands on a hypervisor's own host, by the ssh command that libvirt itself reaches it with.

What libvirt takes from a URI of the kind ``qemu+ssh://user@host:port/system?keyfile=…`` is documented in
https://libvirt.org/uri.html#ssh-transport. Only scripts that stand in this program are run; what varies goes in as their
arguments, quoted. The user's ssh configuration and agent count; nobody is asked for a password.
"""

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from select import select
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from pragmaspec.net.urls import parse_url

CONNECT_S = 10
TICK_S = 0.5
SSH_FAILED = 255
"""What ssh itself ends with when it could not connect or log in."""
_SAID_BYTES = 4096
_END_S = 5.0
"""How long a command that serves may take to end when it is told to."""


class RemoteResult(NamedTuple):
    """A command that has ended: exit status and what it printed, at most the last 4 KiB of each."""

    status: int
    said: str
    complained: str


class ServerStartError(Exception):
    """A command that should have served has ended instead, or said nothing."""

    def __init__(self, ended: RemoteResult) -> None:
        super().__init__(ended)
        self.ended = ended


class RemoteShell:
    """A shell on the host behind ``uri``. Nothing is connected between commands."""

    def __init__(self, uri: str) -> None:
        self._ssh = ssh_command(uri)

    def run(
        self,
        script: str,
        arguments: Sequence[str],
        limit_s: float,
        tick: Callable[[], None] = lambda: None,
        told: bytes = b"",
    ) -> RemoteResult:
        """Run the shell ``script`` with ``arguments`` as ``$1``, ``$2``, …; ``tick`` is called twice a second, and may raise.

        The script's standard input is ``told`` (at most 32 KiB), and ends when this program does or gives up; then the script
        should end, too. After ``limit_s`` seconds the command is given up, and counts as one that ssh failed at.
        """
        command = self._command(script, arguments)
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
            try:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=complained, start_new_session=True)
            except OSError as error:
                return RemoteResult(SSH_FAILED, "", f"ssh: {error.strerror}")
            with process:
                try:
                    _tell(process, told)
                    _wait(process, limit_s, tick)
                finally:
                    process.kill()
            status = process.returncode if process.returncode >= 0 else SSH_FAILED
            return RemoteResult(status, *(_last(stream.fileno()) for stream in (said, complained)))

    @contextmanager
    def serving(self, script: str, arguments: Sequence[str], told: bytes, limit_s: float) -> Iterator[str]:
        """Run ``script`` for the time of the ``with`` block, which begins when it has printed a line, and is given that line.

        Otherwise as :meth:`run`. Raises NotServedError when no line came within ``limit_s`` seconds.
        """
        command = self._command(script, arguments)
        with tempfile.TemporaryFile() as complained:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complained, start_new_session=True
                )
            except OSError as error:
                raise ServerStartError(RemoteResult(SSH_FAILED, "", f"ssh: {error.strerror}")) from error
            with process:
                try:
                    _tell(process, told)
                    line = _first_line(process, limit_s)
                    if not line:
                        _end(process)
                        raise ServerStartError(RemoteResult(process.returncode, "", _last(complained.fileno())))
                    yield line
                finally:
                    _end(process)

    def _command(self, script: str, arguments: Sequence[str]) -> list[str]:
        return [*self._ssh, shlex.join(["sh", "-c", script, "sh", *arguments])]


def ssh_command(uri: str) -> list[str]:
    """How the host of ``uri`` is reached, up to the command that it is to run. Pure."""
    parts = parse_url(uri, (uri.partition(":")[0].lower(),), host_needed=False)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    command = [options.get("command", "ssh"), "-T", "-e", "none", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_S}"]
    command += ["-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
    if options.get("no_verify", "0") != "0":
        command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    command += ["-p", str(parts.port)] if parts.port else []
    command += ["-l", unquote(parts.user)] if parts.user else []
    command += ["-i", options["keyfile"]] if "keyfile" in options else []
    return [*command, "--", parts.host]


def _wait(process: "subprocess.Popen[bytes]", limit_s: float, tick: Callable[[], None]) -> None:
    for _ in range(max(1, round(limit_s / TICK_S))):
        with suppress(subprocess.TimeoutExpired):
            process.wait(TICK_S)
            return
        tick()


def _tell(process: "subprocess.Popen[bytes]", told: bytes) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # it has ended, and its status says why
            process.stdin.write(told)
            process.stdin.flush()


def _first_line(process: "subprocess.Popen[bytes]", limit_s: float) -> str:
    """The line that ``process`` prints first, without its end; empty when it has not printed a whole one in time."""
    said, until = b"", time.monotonic() + limit_s
    while process.stdout is not None and b"\n" not in said and len(said) < _SAID_BYTES:
        if not select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            return ""
        piece = os.read(process.stdout.fileno(), _SAID_BYTES)
        if not piece:
            return ""
        said += piece
    return said.partition(b"\n")[0].decode(errors="replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close its standard input, and take its time away when that does not end it."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last(handle: int) -> str:
    size = os.fstat(handle).st_size
    words = os.pread(handle, _SAID_BYTES, max(0, size - _SAID_BYTES)).decode(errors="replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())
