"""A process that competes for a state: ``python -m tests.state.backends.contender URL ID``, controlled by lines on stdin.

``lock`` → ``locked`` or ``busy``; ``read`` → ``read SERIAL LINES``; ``snapshot N``, ``begin N``, ``append SEQ`` → ``ok`` or the
name of the error; ``append-on SEQ`` → appends from SEQ on, prints ``ok SEQ`` after each, and ends with the name of the error;
``count N`` → locks, adds one to the serial, unlocks, N times; ``release`` → ``ok``.
"""

import sys
import time
from functools import partial
from pathlib import Path

from pragmaspec.errors import PragmaspecError, StateLockedError
from pragmaspec.state.backends.base import Backend, LockedBackend
from pragmaspec.state.backends.document import snapshot_header
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.backends.registry import open_backend
from pragmaspec.state.backends.s3.backend import S3Backend
from tests.state.backends.samples import QUICK, holder, lines, snapshot


def report(*words):
    print(*words, flush=True)  # noqa: T201 - its output


def backend_of(url: str) -> Backend:
    if url.startswith("s3:"):
        return S3Backend(url, times=QUICK)
    return LocalBackend(Path(url)) if url.startswith("/") else open_backend(url, Path.cwd())


class Contender:
    def __init__(self, url: str, lock_id: str) -> None:
        self.url = url
        self.lock_id = lock_id
        self.held: LockedBackend | None = None

    def lock(self):
        try:
            self.held = backend_of(self.url).lock(holder(self.lock_id))
        except StateLockedError:
            report("busy")
        else:
            report("locked")

    def read(self):
        found = self.held.read()
        serial = snapshot_header(found.snapshot).serial if found.snapshot else 0
        report("read", serial, sum(text.data.rstrip(b"\0").count(b"\n") for text in found.journals))

    def write(self, change):
        try:
            change()
        except PragmaspecError as error:
            report(type(error).__name__)
            return False
        return True

    def snapshot(self, number):
        if self.write(lambda: self.held.write_snapshot(snapshot(number), number)):
            report("ok")

    def begin(self, number):
        if self.write(lambda: self.held.begin_journal(number)):
            report("ok")

    def append(self, seq):
        if self.write(lambda: self.held.append(lines(seq, note=self.lock_id), seq, 0)):
            report("ok")

    def append_on(self, seq):
        while self.write(partial(self.held.append, lines(seq, note=self.lock_id), seq, 0)):
            report("ok", seq)
            seq += 1

    def count(self, times):
        done = 0
        while done < times:
            try:
                locked = backend_of(self.url).lock(holder(f"{self.lock_id}-{done}"))
            except StateLockedError:
                time.sleep(0.005)
                continue
            text = locked.read().snapshot
            serial = snapshot_header(text).serial + 1 if text else 1
            locked.write_snapshot(snapshot(serial), serial)
            locked.release()
            done += 1
        report("ok")

    def release(self):
        self.held.release()
        report("ok")


if __name__ == "__main__":
    contender = Contender(sys.argv[1], sys.argv[2])
    report("ready")
    for line in sys.stdin:
        verb, *numbers = line.split()
        getattr(contender, verb.replace("-", "_"))(*map(int, numbers))
