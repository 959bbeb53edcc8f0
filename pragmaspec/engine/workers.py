"""The worker threads of an apply: a pool of provider calls per site, and one pool for all waits for guests.

A node whose guest is not ready yet takes no place in the pool of its site, so waits never delay other boots.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from threading import Thread

from pragmaspec.engine.action_runner import ActionRunner
from pragmaspec.engine.boot_batch import BootBatch
from pragmaspec.engine.context import ApplyContext
from pragmaspec.engine.events import ActionResult, Cancelled, CreatedNode, Job, Message, ObserveResult
from pragmaspec.engine.executor import Executor
from pragmaspec.engine.target_state import TargetState
from pragmaspec.planning.plan import Plan
from pragmaspec.resources import Node
from pragmaspec.typing import override

MAX_GUEST_WAITS = 128
"""Number of guests to wait for at the same time. Each wait is a sleeping thread, and at most one ssh process."""


class WorkerPool:
    """Runs tasks in the order of their submission, at most ``size`` at a time. Tasks must not raise.

    Unlike those of a ThreadPoolExecutor, its threads never keep the process from exiting.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._tasks: deque[tuple[str, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, key: str, task: Callable[[], None]) -> None:
        """Queue ``task``. ``key`` identifies it in the result of :meth:`cancel`."""
        with self._changed:
            self._tasks.append((key, task))
            if len(self._tasks) <= self._idle:
                self._changed.notify()
            elif self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()

    def cancel(self) -> list[str]:
        """Drop the tasks that have not begun, and return their keys."""
        with self._changed:
            keys = [key for key, _ in self._tasks]
            self._tasks.clear()
        return keys

    def close(self) -> None:
        """Let the threads exit when the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._tasks:
                    if self._closed:
                        return
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                _, task = self._tasks.popleft()
            task()


class ThreadExecutor(Executor):
    """The executor of a real apply."""

    def __init__(self, plan: Plan, context: ApplyContext, target: TargetState) -> None:
        self._inbox: SimpleQueue[Message | None] = SimpleQueue()
        self._runner = ActionRunner(plan, context, target, self._inbox.put)
        sizes = {planned.site.name: planned.site.parallel for planned in plan.sites}
        self._calls = {name: WorkerPool(f"call-{name}", sizes.get(name, 1)) for name in self._runner.tools}
        self._waits = WorkerPool("wait", MAX_GUEST_WAITS)
        self._batches = {name: BootBatch() for name in self._runner.tools}
        self._waiting: dict[str, Job] = {}
        if self._runner.builds_seeds:
            # Imported while the sites are observed, instead of when the first seed is needed.
            Thread(target=import_module, args=("pragmaspec.guest.cloud_init.seed",), name="load", daemon=True).start()

    @override
    def observe(self, sites: Iterable[str]) -> Mapping[str, ObserveResult]:
        names = sorted(sites)
        if len(names) < 2:  # noqa: PLR2004 - one site needs no thread
            return {name: self._runner.observe(name) for name in names}
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            return dict(zip(names, pool.map(self._runner.observe, names), strict=True))

    @override
    def begin(self, jobs: Sequence[Job]) -> None:
        # Boots that begin together are one batch, even if the first one ends before the last one is submitted.
        for job in jobs:
            if job.action.verb == "boot":
                self._batches[job.action.resource.site].expect(job.action.key)
        for job in jobs:
            pool = self._waits if job.action.verb == "update" else self._calls[job.action.resource.site]
            pool.submit(job.action.key, partial(self._run, job))

    @override
    def receive(self, timeout_s: float) -> Message | None:
        return self._inbox.get(timeout=timeout_s)

    @override
    def wake(self) -> None:
        self._inbox.put(None)

    @override
    def abandon_computes_of(self, frontend: Node, reason: str) -> None:
        self._runner.abandon_computes_of(frontend, reason)

    @override
    def stop(self) -> list[str]:
        self._runner.cancel()
        keys = []
        for site, pool in self._calls.items():
            for key in pool.cancel():
                keys.append(key)
                self._batches[site].end(key)
        for key in self._waits.cancel():
            if key in self._waiting:
                self._inbox.put(ActionResult(self._waiting[key].action, None, Cancelled()))
            else:
                keys.append(key)
        return keys

    @override
    def close(self) -> None:
        self._runner.cancel()
        for pool in (*self._calls.values(), self._waits):
            pool.close()
        self._runner.close()

    def _run(self, job: Job) -> None:
        if job.action.verb == "update":
            self._runner.update(job)
        elif job.action.verb == "boot":
            self._boot(job)
        else:
            self._runner.call(job)

    def _boot(self, job: Job) -> None:
        batch = self._batches[job.action.resource.site]
        created = self._runner.call(job)
        if created is not None and created.paused:
            batch.hold(job.action.key, lambda: self._resume(job, created))
            return
        batch.end(job.action.key)
        if created is not None:
            self._wait(job, created)

    def _resume(self, job: Job, created: CreatedNode) -> None:
        if self._runner.resume(job):
            self._wait(job, created)

    def _wait(self, job: Job, created: CreatedNode) -> None:
        if self._runner.is_ready(job):
            self._runner.wait(job, created.record)
            return
        self._waiting[job.action.key] = job
        self._waits.submit(job.action.key, lambda: self._runner.wait(job, created.record))
