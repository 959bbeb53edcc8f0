"""Commands on a hypervisor host, through the ssh command that libvirt itself uses to reach it.

The parameters of a URI such as ``qemu+ssh://user@host:port/system?keyfile=…`` are documented in
https://libvirt.org/uri.html#ssh-transport. Only constant scripts of this package are run; variable parts are passed as quoted
arguments. The user's ssh configuration and agent apply; ssh never prompts for a password.
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
"""ssh's own exit status when it could not connect or log in."""
_OUTPUT_BYTES = 4096
_STOP_LIMIT_S = 5.0
"""Seconds that a server may take to end after its standard input is closed."""


class RemoteResult(NamedTuple):
    """The result of a command: exit status and output, at most the last 4 KiB of each stream."""

    status: int
    stdout: str
    stderr: str


class ServerStartError(Exception):
    """A server ended, or printed nothing, instead of starting."""

    def __init__(self, result: RemoteResult) -> None:
        super().__init__(result)
        self.result = result


class RemoteShell:
    """A shell on the host behind ``uri``. Holds no connection between commands."""

    def __init__(self, uri: str) -> None:
        self._ssh = ssh_command(uri)

    def run(
        self,
        script: str,
        arguments: Sequence[str],
        limit_s: float,
        tick: Callable[[], None] = lambda: None,
        stdin: bytes = b"",
    ) -> RemoteResult:
        """Run the shell ``script`` with ``arguments`` as ``$1``, ``$2``, …; ``tick`` is called twice per second, and may raise.

        The script reads ``stdin`` (at most 32 KiB), whose end comes when this process ends or gives up; the script should then
        end, too. After ``limit_s`` seconds the command is killed, and reported as a failure of ssh.
        """
        command = self._command(script, arguments)
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            try:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, start_new_session=True)
            except OSError as error:
                return RemoteResult(SSH_FAILED, "", f"ssh: {error.strerror}")
            with process:
                try:
                    _write_stdin(process, stdin)
                    _wait(process, limit_s, tick)
                finally:
                    process.kill()
            status = process.returncode if process.returncode >= 0 else SSH_FAILED
            return RemoteResult(status, *(_last(stream.fileno()) for stream in (stdout, stderr)))

    @contextmanager
    def serving(self, script: str, arguments: Sequence[str], stdin: bytes, limit_s: float) -> Iterator[str]:
        """Run ``script`` for the duration of the ``with`` block, which starts once the script has printed a line; yields it.

        Otherwise as :meth:`run`. Raises ServerStartError when no line arrives within ``limit_s`` seconds.
        """
        command = self._command(script, arguments)
        with tempfile.TemporaryFile() as stderr:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
                )
            except OSError as error:
                raise ServerStartError(RemoteResult(SSH_FAILED, "", f"ssh: {error.strerror}")) from error
            with process:
                try:
                    _write_stdin(process, stdin)
                    line = _first_line(process, limit_s)
                    if not line:
                        _stop(process)
                        raise ServerStartError(RemoteResult(process.returncode, "", _last(stderr.fileno())))
                    yield line
                finally:
                    _stop(process)

    def _command(self, script: str, arguments: Sequence[str]) -> list[str]:
        return [*self._ssh, shlex.join(["sh", "-c", script, "sh", *arguments])]


def ssh_command(uri: str) -> list[str]:
    """Return the ssh command line for the host of ``uri``, without the remote command. Pure."""
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


def _write_stdin(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # The process has ended, and its status shows why.
            process.stdin.write(data)
            process.stdin.flush()


def _first_line(process: "subprocess.Popen[bytes]", limit_s: float) -> str:
    """The first line that ``process`` prints, without its newline; empty when no complete line arrives in time."""
    output, until = b"", time.monotonic() + limit_s
    while process.stdout is not None and b"\n" not in output and len(output) < _OUTPUT_BYTES:
        if not select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            return ""
        chunk = os.read(process.stdout.fileno(), _OUTPUT_BYTES)
        if not chunk:
            return ""
        output += chunk
    return output.partition(b"\n")[0].decode(errors="replace")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Close the standard input of ``process``, and kill it if that does not end it in time."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last(handle: int) -> str:
    """The end of an output file as one line of printable characters."""
    size = os.fstat(handle).st_size
    text = os.pread(handle, _OUTPUT_BYTES, max(0, size - _OUTPUT_BYTES)).decode(errors="replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
