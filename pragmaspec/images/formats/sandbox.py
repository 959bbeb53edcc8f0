"""Run programs on untrusted files: no network, no environment, limited time, memory and disk space."""

import functools
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, cast

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen

MEMORY_BYTES = 2 * 2**30
_SYSTEM_PATHS = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
_OUTPUT_BYTES = 2**20
_WALL_FACTOR = 4
"""Limit of elapsed time, as a multiple of the limit of processor time: the disk may be slow, the machine busy."""


class Limits(Frozen, frozen=True):
    """Resource limits: processor time, size of a file that it may write (0: none), and address space."""

    cpu_s: int
    file_bytes: int = 0
    memory_bytes: int = MEMORY_BYTES


class ProgramResult(Frozen, frozen=True):
    """Exit status of a program (negative: a signal), and the last MiB of its output and error output."""

    status: int
    output: str


def run_sandboxed(
    program: str, arguments: Sequence[str], limits: Limits, on_output: Callable[[str], None] | None = None
) -> ProgramResult:
    """Run ``program`` from the system's folders. ``on_output`` is called with its output as it arrives.

    It gets an empty environment and, if this machine allows that, an empty network namespace. Raises ImageError if the program is
    not installed.
    """
    bounds = [f"--cpu={limits.cpu_s}", f"--as={limits.memory_bytes}", f"--fsize={limits.file_bytes}", "--core=0"]
    command = [*_isolation(), _path("prlimit"), *bounds, "--", _path(program), *arguments]
    with subprocess.Popen(
        command, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            output = _read_output(process, time.monotonic() + _WALL_FACTOR * limits.cpu_s, on_output)
        except BaseException:
            process.kill()
            raise
    return ProgramResult(status=process.returncode, output=output)


def _read_output(process: subprocess.Popen[bytes], deadline: float, on_output: Callable[[str], None] | None) -> str:
    """Read to the end of the output, and wait for the process; kill it at the deadline."""
    stdout = cast("IO[bytes]", process.stdout)
    readable, output = select.poll(), b""
    readable.register(stdout, select.POLLIN)
    while (left_s := deadline - time.monotonic()) > 0 and readable.poll(1000 * left_s):
        chunk = os.read(stdout.fileno(), 4096)
        if not chunk:
            with suppress(subprocess.TimeoutExpired):
                process.wait(left_s)
                return output.decode(errors="replace")
            break
        output = (output + chunk)[-_OUTPUT_BYTES:]
        if on_output:
            on_output(chunk.decode(errors="replace"))
    process.kill()
    return "it took too long"


@functools.cache
def _isolation() -> tuple[str, ...]:
    """Return the command that removes the network, if this machine allows it."""
    unshare = shutil.which("unshare", path=_SYSTEM_PATHS)
    for words in (("--net", "--"), ("--map-current-user", "--net", "--")):
        if unshare and subprocess.run([unshare, *words, _path("true")], env={}, capture_output=True, check=False).returncode == 0:
            return (unshare, *words)
    return ()


@functools.cache
def _path(program: str) -> str:
    path = shutil.which(program, path=_SYSTEM_PATHS)
    if path is None:
        package = {"qemu-img": "qemu-utils", "prlimit": "util-linux"}.get(program, program)
        raise ImageError("Programs missing", f"{program} is needed to check disks. Install it: apt-get install {package}")
    return path
