"""Leaving nothing behind, whichever way a benchmark ends: done, by an error, by a signal, or killed outright.

One runs at a time, and all that it makes is marked: processes in their environment, folders and objects of libvirt in their
names. So what is marked while none runs is left over from one that was killed, and the next one removes it before it begins.
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
"""With this everything begins that a benchmark makes at libvirt, clusters and pools too."""

ON_DISK = Path("/var/tmp")  # noqa: S108 - a folder of its own is made there
"""Where temporary files go that shall not be in memory."""

_FOLDER = f"{NAME}-"
_MARK = "PRAGMASPEC_BENCHMARK"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 10.0
_AGAIN_S = 2.0
_LOOKS = 3


@contextlib.contextmanager
def scratch(directory: Path | None = None, *, made: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A folder to work in, below ``directory`` (default: where temporary files go).

    At both ends of the ``with`` block everything that a benchmark has left is removed: processes, then what ``made`` removes,
    then folders. SIGINT, SIGTERM and SIGHUP end the block; while things are removed they are not heard.
    """
    parent = directory or Path(tempfile.gettempdir())
    usual = tempfile.tempdir, os.environ.get("TMPDIR")
    with _signals_end_it(), _alone() as lock, contextlib.ExitStack() as stack:
        os.environ[_MARK] = lock
        _remove(lock, made, parent)
        stack.callback(_remove, lock, made, parent)
        stack.callback(_hear_nothing)
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent)).absolute()
        # Other programs' temporary files, which are left where those are killed.
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield folder
        finally:
            tempfile.tempdir = usual[0]
            os.environ.pop("TMPDIR") if usual[1] is None else os.environ.update(TMPDIR=usual[1])


def end(process: "subprocess.Popen[bytes]") -> None:
    """End ``process`` and wait for it: by SIGTERM, and where that does not do by SIGKILL."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _alone() -> Iterator[str]:
    """The path of the lock that is held, so that no other benchmark runs; figures of two at once would say nothing."""
    path = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}.lock"
    # What a benchmark starts does not inherit it: a killed one holds nothing.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"Another benchmark is running: it holds {path}.")
        yield str(path)


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    came: list[int] = []

    def ended(number: int, _frame: FrameType | None) -> None:
        if not came:
            came.append(number)
            print(f"ended by {signal.Signals(number).name}; what was made is removed", file=sys.stderr)
            # An exception that is raised in a finalizer or a callback of a library is lost: say it again until it is heard.
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
        sys.exit(128 + came[0])

    before = {number: signal.signal(number, ended) for number in (*_SIGNALS, signal.SIGALRM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hear_nothing() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    # Not SIG_IGN, which processes inherit that are started now.
    for number in (*_SIGNALS, signal.SIGALRM):
        signal.signal(number, lambda *_: None)


def _remove(lock: str, made: Callable[[], None], parent: Path) -> None:
    """Each of the three also when another fails."""
    with contextlib.ExitStack() as stack:
        stack.callback(_folders, parent)
        stack.callback(made)
        _processes(lock)


def _folders(parent: Path) -> None:
    for folder in parent.glob(f"{_FOLDER}*"):
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder)


def _processes(lock: str) -> None:
    """End the processes of benchmarks: by SIGTERM, then by SIGKILL, until several looks find none."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit, told, calm = time.monotonic() + _GRACE_S, set[int](), 0
        while calm < _LOOKS and time.monotonic() < limit:
            left = _ours(lock)
            for process in left - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            told |= left
            calm = 0 if left else calm + 1
            time.sleep(0.02)


def _ours(lock: str) -> set[int]:
    """Running processes that a benchmark started, directly or not.

    The environment of one that is just being started cannot be read yet: children count without it.
    """
    mark, me = f"{_MARK}={lock}".encode(), str(os.getpid())
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z" and (parent == me or mark in (place / "environ").read_bytes().split(b"\0")):
                found.add(int(place.name))
    return found - {os.getpid()}
