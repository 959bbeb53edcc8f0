"""How the benchmarks measure: whole processes, taking turns, and the fastest of several rounds.

The minimum is the figure to compare: whatever else runs on the machine can only make a run slower. What is compared is run in the
same loop, one after the other, so that a busy minute hits both sides.
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

from remains import end


@dataclass(frozen=True)
class Run:
    """One process from start to end. ``memory_mib`` is its largest resident size, and never less than this program's own.

    ``cpu_s``: processor seconds of it and of those that it started.
    """

    seconds: float
    memory_mib: float
    said: str
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Runs:
    """Several runs of the same thing."""

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
    """Run ``command`` to its end. One that fails ends the benchmark, with what it said."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=as_installed(env), stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            end(process)
            raise
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return Run(seconds, usage.ru_maxrss / 1024, text, usage.ru_utime + usage.ru_stime)


def take_turns(
    commands: Mapping[str, Sequence[str]], rounds: int, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> dict[str, Runs]:
    """Every command ``rounds`` times, in turns; the first round only warms the caches and does not count."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name, command in commands.items():
            one = run(command, cwd=cwd, env=env)
            if turn:
                runs[name].append(one)
    return {name: Runs(tuple(each)) for name, each in runs.items()}


def pragmaspec() -> str:
    """The command that is measured: the one beside this Python, else the one on the path."""
    beside = Path(sys.executable).with_name("pragmaspec")
    found = str(beside) if beside.exists() else shutil.which("pragmaspec")
    if found is None:
        sys.exit("There is no pragmaspec command. Install it into this environment first: make install.")
    return found


def as_installed(env: Mapping[str, str] | None) -> dict[str, str]:
    """``env`` (default: our own) as users have it: modules are compiled once and not at every start."""
    return {name: value for name, value in (os.environ if env is None else env).items() if name != "PYTHONDONTWRITEBYTECODE"}


def home_in(directory: Path) -> dict[str, str]:
    """An environment in which nothing of the user's own home is read or written."""
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
    """What the figures were measured on, in one line."""
    return f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} when it began"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need, the first to the left, figures to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    shown = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:]])
