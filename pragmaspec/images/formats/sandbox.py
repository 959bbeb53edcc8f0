"""Programs that read files of strangers: no network, no environment, and no more time, memory and room than they need."""

import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen

MEMORY_BYTES = 2 * 2**30
_SYSTEM_PATHS = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin"
_SAID_BYTES = 2**20
_WALL_FACTOR = 4
"""How much longer than its processor time a program may take: the disk may be slow, the machine busy."""


class Limits(Frozen, frozen=True):
    """``cpu_s``: processor seconds; ``file_bytes``: the longest file it may write, 0: none; ``memory_bytes``: address space."""

    cpu_s: int
    file_bytes: int = 0
    memory_bytes: int = MEMORY_BYTES


class ProgramResult(Frozen, frozen=True):
    """How a program ended: its exit status (negative: a signal), and what it said, the newest MiB of both streams."""

    status: int
    said: str


def run_sandboxed(
    program: str, arguments: Sequence[str], limits: Limits, heard: Callable[[str], None] | None = None
) -> ProgramResult:
    """Run ``program``, found among the system's programs. ``heard`` is told what it says, as it comes.

    It gets an empty environment and, where this machine allows that, a network of its own with nothing in it. Raises ImageError
    when the program is not installed.
    """
    bounds = [f"--cpu={limits.cpu_s}", f"--as={limits.memory_bytes}", f"--fsize={limits.file_bytes}", "--core=0"]
    command = [*_isolation(), _path("prlimit"), *bounds, "--", _path(program), *arguments]
    with subprocess.Popen(
        command, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            said = _listen(process, time.monotonic() + _WALL_FACTOR * limits.cpu_s, heard)
        except BaseException:
            process.kill()
            raise
    return ProgramResult(status=process.returncode, said=said)


def _listen(process: subprocess.Popen[bytes], until: float, heard: Callable[[str], None] | None) -> str:
    if heard is None:
        try:
            return process.communicate(timeout=max(1.0, until - time.monotonic()))[0][-_SAID_BYTES:].decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            return "it took too long"
    said = b""
    while process.stdout and (piece := os.read(process.stdout.fileno(), 4096)):
        said = (said + piece)[-_SAID_BYTES:]
        heard(piece.decode(errors="replace"))
        if time.monotonic() > until:
            process.kill()
            return "it took too long"
    return said.decode(errors="replace")


@functools.cache
def _isolation() -> tuple[str, ...]:
    """The command that takes the network away, where this machine allows it."""
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
        raise ImageError(
            "Programs missing", f"Disks are checked with {program} before they are used. Install it: apt-get install {package}"
        )
    return path
