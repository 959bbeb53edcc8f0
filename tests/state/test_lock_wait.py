import pytest

from pragmaspec.errors import StateLockedError
from pragmaspec.state.backends.base import LockHolder
from pragmaspec.state.lock_wait import LockWait

ANN = LockHolder(pid=7, user="ann", host="h", since="2026-01-01T00:00:00+00:00", command="apply", id="x")


class Busy:
    """A ground whose lock is free at the time ``free_at``; time passes while somebody sleeps."""

    def __init__(self, free_at: float) -> None:
        self.now = 0.0
        self.asked: list[float] = []
        self._free_at = free_at

    def lock(self, holder: LockHolder) -> str:
        self.asked.append(self.now)
        if self.now < self._free_at:
            raise StateLockedError("Another run holds this stack", "Ann does.")
        return f"held for {holder.command}"

    def holder(self) -> LockHolder:
        return ANN

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def patience(self, limit_s: float, told: object = None) -> LockWait:
        return LockWait(limit_s, told, sleep=self.sleep, clock=lambda: self.now)


def test_without_patience_the_lock_is_asked_for_once() -> None:
    ground = Busy(free_at=1)
    with pytest.raises(StateLockedError) as caught:
        ground.patience(0).taken(ground, "plan")
    assert (ground.asked, caught.value.problems[0].detail) == ([0.0], "Ann does.")


def test_the_lock_is_taken_when_it_is_free() -> None:
    ground = Busy(free_at=100)
    told: list[tuple[LockHolder | None, float]] = []
    assert ground.patience(300, lambda *said: told.append(said)).taken(ground, "plan") == "held for plan"
    assert 100 <= ground.now <= 102
    assert {holder for holder, _ in told} == {ANN}
    assert told[0][1] == 300
    assert len(ground.asked) < 60, "a server is not asked all the time"


def test_the_waiting_ends_exactly_at_its_limit() -> None:
    ground = Busy(free_at=1e9)
    with pytest.raises(StateLockedError, match=r"Ann does\. Waited 90 s for it"):
        ground.patience(90).taken(ground, "plan")
    assert ground.now == pytest.approx(90)


def test_a_signal_ends_the_waiting_at_once() -> None:
    ground = Busy(free_at=1e9)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LockWait(90, sleep=interrupted, clock=lambda: 0.0).taken(ground, "plan")
