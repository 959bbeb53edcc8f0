import pytest

from pragmaspec.errors import StateLockedError
from pragmaspec.state.backends.base import LockHolder
from pragmaspec.state.lock_wait import LockWait

ANN = LockHolder(pid=7, user="ann", host="h", since="2026-01-01T00:00:00+00:00", command="apply", id="x")


class Busy:
    """A backend whose lock is free from the time ``free_at``; the clock advances during sleeps."""

    def __init__(self, free_at: float) -> None:
        self.now = 0.0
        self.attempts: list[float] = []
        self._free_at = free_at

    def lock(self, holder: LockHolder) -> str:
        self.attempts.append(self.now)
        if self.now < self._free_at:
            raise StateLockedError("Another run holds this stack", "Ann does.")
        return f"locked for {holder.command}"

    def holder(self) -> LockHolder:
        return ANN

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, limit_s: float, listener: object = None) -> LockWait:
        return LockWait(limit_s, listener, sleep=self.sleep, clock=lambda: self.now)


def test_without_a_limit_the_lock_is_tried_once() -> None:
    backend = Busy(free_at=1)
    with pytest.raises(StateLockedError) as caught:
        backend.wait(0).take(backend, "plan")
    assert (backend.attempts, caught.value.problems[0].detail) == ([0.0], "Ann does.")


def test_the_lock_is_taken_as_soon_as_it_is_free() -> None:
    backend = Busy(free_at=100)
    reports: list[tuple[LockHolder | None, float]] = []
    assert backend.wait(300, lambda *report: reports.append(report)).take(backend, "plan") == "locked for plan"
    assert 100 <= backend.now <= 102
    assert {holder for holder, _ in reports} == {ANN}
    assert reports[0][1] == 300
    assert len(backend.attempts) < 60, "the server is not polled continuously"


def test_the_wait_ends_exactly_at_its_limit() -> None:
    backend = Busy(free_at=1e9)
    with pytest.raises(StateLockedError, match=r"Ann does\. Waited 90 s for it"):
        backend.wait(90).take(backend, "plan")
    assert backend.now == pytest.approx(90)


def test_a_signal_ends_the_wait_at_once() -> None:
    backend = Busy(free_at=1e9)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LockWait(90, sleep=interrupted, clock=lambda: 0.0).take(backend, "plan")
