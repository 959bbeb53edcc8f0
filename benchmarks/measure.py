"""Time measurement for benchmarks: whole processes in turns, and the fastest of several rounds.

The minimum is the figure to compare: other load on the machine can only make a run slower. All candidates run in the same loop,
one after the other, so that temporary load affects all of them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scratch import end


@dataclass(frozen=True)
class Run:
    """One process from start to end.

    ``memory_mib``: its largest resident size, at least that of this program. ``cpu_s``: CPU seconds, including child processes.
    """

    seconds: float
    memory_mib: float
    output: str
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Runs:
    """Several runs of the same command."""

    all: tuple[Run, ...]

    @property
    def fastest_s(self) -> float:
        return min(each.seconds for each in self.all)

    @property
    def median_s(self) -> float:
        return median(each.seconds for each in self.all)

    @property
    def memory_mib(self) -> float:
        return max(each.memory_mib for each in self.all)

    @property
    def cpu_s(self) -> float:
        return min(each.cpu_s for each in self.all)


def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Run ``command`` to its end. If it fails, exit with its output."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=as_installed(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            end(process)
            raise
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} exited with {process.returncode}:\n{text}")
    return Run(seconds, usage.ru_maxrss / 1024, text, usage.ru_utime + usage.ru_stime)


def take_turns(
    commands: Mapping[str, Sequence[str]], rounds: int, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> dict[str, Runs]:
    """Run every command ``rounds`` times, in turns, after a first round that only warms the caches."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            one = run(command, cwd=cwd, env=env)
            if turn:
                runs[name].append(one)
    return {name: Runs(tuple(each)) for name, each in runs.items()}


def pragmaspec() -> str:
    """Return the command to measure: the one next to this Python, else the one on the path."""
    beside = Path(sys.executable).with_name("pragmaspec")
    found = str(beside) if beside.exists() else shutil.which("pragmaspec")
    if found is None:
        sys.exit("No pragmaspec command found. Install it into this environment first: make install.")
    return found


def as_installed(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return ``env`` (default: our own) as in an installation: modules are compiled once, not on every start."""
    return {name: value for name, value in (os.environ if env is None else env).items() if name != "PYTHONDONTWRITEBYTECODE"}


def home_in(directory: Path) -> dict[str, str]:
    """Return an environment that neither reads nor writes the user's home."""
    places = {
        "HOME": "home",
        "XDG_STATE_HOME": "state",
        "XDG_CACHE_HOME": "cache",
        "XDG_DATA_HOME": "data",
        "XDG_CONFIG_HOME": "config",
    }
    for place in places.values():
        (directory / place).mkdir(exist_ok=True)
    keys = directory / "home" / ".ssh"
    keys.mkdir(mode=0o700, exist_ok=True)
    (keys / "id_ed25519.pub").write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG9DB+EFmv7kG7YTaxAMQt38haZlf5ltrNuEgVwUBFo+ bench\n"
    )
    return os.environ | {variable: str(directory / place) for variable, place in places.items()}


def machine() -> str:
    """Return a description of this machine, in one line."""
    return f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} at the start"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table, with the first column left-aligned and the others right-aligned."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:]])
