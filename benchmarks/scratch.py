"""A scratch directory for benchmarks, with cleanup on every exit: success, an error, or a signal.

Only one benchmark runs at a time, and everything that it creates is marked: processes by their environment, directories and
libvirt objects by their names. So marked objects at the start of a benchmark are left over from a killed one, and are removed.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

NAME = "pragmaspec-bench"
"""Prefix of the names of all libvirt objects of benchmarks, including clusters and pools."""

ON_DISK = Path("/var/tmp")  # noqa: S108 - a private directory is created there
"""Directory for temporary files that must not be in memory."""

_FOLDER = f"{NAME}-"
_MARK = "PRAGMASPEC_BENCHMARK"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 10.0
_AGAIN_S = 2.0
_LISTINGS = 3


@contextlib.contextmanager
def scratch(directory: Path | None = None, *, remove: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Create a working directory below ``directory`` (default: that of temporary files).

    Before and after the ``with`` block the remains of benchmarks are removed: processes, then everything that ``remove`` removes,
    then directories. SIGINT, SIGTERM and SIGHUP end the block; during the removal they are ignored.
    """
    parent = directory or Path(tempfile.gettempdir())
    usual = tempfile.tempdir, os.environ.get("TMPDIR")
    with _exit_on_signals(), _exclusive() as lock, contextlib.ExitStack() as stack:
        os.environ[_MARK] = lock
        _clean_up(lock, remove, parent)
        stack.callback(_clean_up, lock, remove, parent)
        stack.callback(_ignore_signals)
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent)).absolute()
        # Also for other programs, which leave temporary files behind if they are killed.
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = usual[0]
            os.environ.pop("TMPDIR") if usual[1] is None else os.environ.update(TMPDIR=usual[1])


def end(process: "subprocess.Popen[bytes]") -> None:
    """Terminate ``process`` by SIGTERM, after a grace period by SIGKILL, and wait for it."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _exclusive() -> Iterator[str]:
    """Hold the lock of benchmarks, and yield its path: figures of simultaneous benchmarks would be meaningless."""
    path = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}.lock"
    # Child processes do not inherit the descriptor, so those of a killed benchmark do not hold the lock.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"Another benchmark is running: it holds {path}.")
        yield str(path)


@contextlib.contextmanager
def _exit_on_signals() -> Iterator[None]:
    received: list[int] = []

    def exit_(number: int, _frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            print(f"ended by {signal.Signals(number).name}; cleaning up", file=sys.stderr)
            # An exception in a finalizer or in a callback of a library is lost, so it is raised again until it is effective.
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
        sys.exit(128 + received[0])

    before = {number: signal.signal(number, exit_) for number in (*_SIGNALS, signal.SIGALRM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    # Not SIG_IGN, which child processes would inherit.
    for number in (*_SIGNALS, signal.SIGALRM):
        signal.signal(number, lambda *_: None)


def _clean_up(lock: str, remove: Callable[[], None], parent: Path) -> None:
    """Remove processes, other objects and directories, each even if another removal fails."""
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_folders, parent)
        stack.callback(remove)
        _end_processes(lock)


def _remove_folders(parent: Path) -> None:
    for folder in parent.glob(f"{_FOLDER}*"):
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder)


def _end_processes(lock: str) -> None:
    """End the processes of benchmarks by SIGTERM, then by SIGKILL, until several listings are empty."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit, signalled, empty = time.monotonic() + _GRACE_S, set[int](), 0
        while empty < _LISTINGS and time.monotonic() < limit:
            left = _own_processes(lock)
            for process in left - signalled:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            signalled |= left
            empty = 0 if left else empty + 1
            time.sleep(0.02)


def _own_processes(lock: str) -> set[int]:
    """Return the running processes that a benchmark started, directly or indirectly.

    The environment of a starting process cannot be read yet, so children of this process always count.
    """
    mark, me = f"{_MARK}={lock}".encode(), str(os.getpid())
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z" and (parent == me or mark in (place / "environ").read_bytes().split(b"\0")):
                found.add(int(place.name))
    return found - {os.getpid()}
