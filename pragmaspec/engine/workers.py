"""The threads of an apply: calls at each site, so many at once as the site allows, and waiting for guests apart from them.

A node that is waited for holds no place among its site's calls, so that no number of them keeps another from booting.

Threads that do jobs, at most so many at once; unlike a ThreadPoolExecutor's, they never keep a process from ending.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from pragmaspec.engine.action_runner import ActionRunner, ObserveResult
from pragmaspec.engine.boot_batch import BootBatch
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.events import ActionResult, Cancelled, CreatedNode, Job, Message
from pragmaspec.engine.target_state import TargetState
from pragmaspec.planning.plan import Plan

Call = Callable[[], None]


class WorkerPool:
    """Does jobs in the order they come, ``width`` at a time. Jobs must not raise."""

    def __init__(self, name: str, width: int) -> None:
        self._name = name
        self._width = width
        self._jobs: deque[tuple[str, Call]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, key: str, job: Call) -> None:
        """Do ``job`` when its turn comes. ``key`` names it in :meth:`cancel`."""
        with self._changed:
            self._jobs.append((key, job))
            if len(self._jobs) <= self._idle:
                self._changed.notify()
            elif self._threads < self._width:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def cancel(self) -> list[str]:
        """Forget the jobs that have not begun, and return their keys."""
        with self._changed:
            keys = [key for key, _ in self._jobs]
            self._jobs.clear()
        return keys

    def close(self) -> None:
        """Let the threads end as soon as they have nothing to do."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs:
                    if self._closed:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                _, job = self._jobs.popleft()
            job()


MAX_GUEST_WAITS = 128
"""How many guests are waited for at the same time; each is a thread that sleeps, and at most one ssh process."""


class Executor(Protocol):
    """Who does the actions of one apply. All methods but :meth:`wake` are called from the thread that applies."""

    @property
    def work(self) -> ActionRunner:
        """What it does."""
        ...

    def observe(self, sites: Iterable[str]) -> Mapping[str, ObserveResult]:
        """What each site has of this stack now, asked at once."""
        ...

    def begin(self, jobs: Sequence[Job]) -> None:
        """Do ``jobs``, which can begin at the same time; an :class:`ActionResult` will tell how each ended."""
        ...

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None when :meth:`wake` was called. Raises ``queue.Empty`` after ``timeout_s``."""
        ...

    def wake(self) -> None:
        """Let :meth:`receive` return. May be called from a signal handler."""
        ...

    def stop(self) -> list[str]:
        """Begin nothing more and stop waiting for guests. Returns the keys of the actions that have not begun."""
        ...

    def close(self) -> None:
        """End."""
        ...


class ThreadExecutor:
    """The crew of a real apply."""

    def __init__(self, plan: Plan, context: ApplyContext, outlook: TargetState) -> None:
        self._inbox: SimpleQueue[Message | None] = SimpleQueue()
        self.work = ActionRunner(plan, context, outlook, self._inbox.put)
        widths = {planned.site.name: planned.site.parallel for planned in plan.sites}
        self._calls = {name: WorkerPool(f"call-{name}", widths.get(name, 1)) for name in self.work.tools}
        self._waits = WorkerPool("wait", MAX_GUEST_WAITS)
        self._bursts = {name: BootBatch() for name in self.work.tools}
        self._waiting: dict[str, Job] = {}
        if self.work.seeds:
            # Loaded while the sites are looked at, instead of when the first node waits for its seed.
            Thread(target=import_module, args=("pragmaspec.guest.cloud_init.seed",), name="load", daemon=True).start()

    def observe(self, sites: Iterable[str]) -> Mapping[str, ObserveResult]:
        """One thread a site."""
        names = sorted(sites)
        if len(names) < 2:  # noqa: PLR2004 - one site needs no thread
            return {name: self.work.observe(name) for name in names}
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            return dict(zip(names, pool.map(self.work.observe, names), strict=True))

    def begin(self, jobs: Sequence[Job]) -> None:
        """In lanes. Boots that begin together are one burst, however quickly the first of them ends."""
        for job in jobs:
            if job.action.verb == "boot":
                self._bursts[job.action.resource.site].expect(job.action.key)
        for job in jobs:
            lane = self._waits if job.action.verb == "update" else self._calls[job.action.resource.site]
            lane.submit(job.action.key, partial(self._do, job))

    def receive(self, timeout_s: float) -> Message | None:
        """From any thread."""
        return self._inbox.get(timeout=timeout_s)

    def wake(self) -> None:
        """A message that says nothing."""
        self._inbox.put(None)

    def stop(self) -> list[str]:
        """Forget what has not begun; a guest that nobody waits for yet is cut off."""
        self.work.cut()
        keys = []
        for site, lane in self._calls.items():
            for key in lane.cancel():
                keys.append(key)
                self._bursts[site].end(key)
        for key in self._waits.cancel():
            if key in self._waiting:
                self._inbox.put(ActionResult(self._waiting[key].action, None, Cancelled()))
            else:
                keys.append(key)
        return keys

    def close(self) -> None:
        """Let the threads end."""
        self.work.cut()
        for lane in (*self._calls.values(), self._waits):
            lane.close()
        self.work.close()

    def _do(self, job: Job) -> None:
        if job.action.verb == "update":
            self.work.update(job)
        elif job.action.verb == "boot":
            self._boot(job)
        else:
            self.work.call(job)

    def _boot(self, job: Job) -> None:
        burst = self._bursts[job.action.resource.site]
        made = self.work.call(job)
        if made is not None and made.held:
            burst.hold(job.action.key, lambda: self._release(job, made))
            return
        burst.end(job.action.key)
        if made is not None:
            self._wait(job, made)

    def _release(self, job: Job, made: CreatedNode) -> None:
        if self.work.release(job):
            self._wait(job, made)

    def _wait(self, job: Job, made: CreatedNode) -> None:
        self._waiting[job.action.key] = job
        self._waits.submit(job.action.key, lambda: self.work.wait(job, made.record))
