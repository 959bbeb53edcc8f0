"""A place for a state that is elsewhere: in memory, and its answers can be lost."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pragmaspec.errors import StateLockedError, StateLockLostError, StateUnwritableError, UsageError
from pragmaspec.state.backends.base import JournalText, LockHolder, RawState, StateVersion


class MachineGoneError(Exception):
    """Stands for the end of the process."""


@dataclass
class MemoryGround:
    """``trouble`` says what happens to the next appends, one word each.

    ``lost``: it does not arrive; ``unanswered``: it does, and an error comes back; ``killed``, ``killed-after``: likewise, and
    the machine that asked is gone. ``watch`` is called with the lines before each.
    """

    snapshot: bytes | None = None
    journal: bytes = b""
    serial: int = -1
    versions: dict[int, bytes] = field(default_factory=dict)
    locked_by: LockHolder | None = None
    trouble: list[str] = field(default_factory=list)
    title: str = "memory://hello"
    watch: Callable[[bytes], None] = lambda lines: None

    def read(self) -> RawState:
        journals = (JournalText(self.serial, f"{self.title}#journal", self.journal),) if self.journal else ()
        return RawState(name=self.title, snapshot=self.snapshot, journals=journals)

    def lock(self, holder: LockHolder) -> "MemoryHeld":
        if self.locked_by is not None:
            raise StateLockedError(f"{self.locked_by.id} holds it")
        self.locked_by = holder
        return MemoryHeld(self, holder)

    def holder(self) -> LockHolder | None:
        return self.locked_by

    def break_lock(self, lock_id: str) -> None:
        if self.locked_by is None or self.locked_by.id != lock_id:
            raise UsageError("another lock")
        self.locked_by = None

    def history(self) -> tuple[StateVersion, ...]:
        return tuple(
            StateVersion(serial=serial, written="", size_bytes=len(text)) for serial, text in sorted(self.versions.items())
        )[::-1]

    def version(self, serial: int) -> bytes:
        if serial not in self.versions:
            raise UsageError("no such version")
        return self.versions[serial]

    def remove(self) -> None:
        self.snapshot, self.journal, self.serial, self.versions = None, b"", -1, {}


class MemoryHeld:
    def __init__(self, ground: MemoryGround, holder: LockHolder) -> None:
        self._ground, self._holder = ground, holder

    def read(self) -> RawState:
        return self._ground.read()

    def begin_journal(self, serial: int) -> None:
        self._check()
        self._ground.serial, self._ground.journal = serial, b""

    def append(self, lines: bytes, first_seq: int, room_bytes: int) -> None:
        self._check()
        self._ground.watch(lines)
        word = self._ground.trouble.pop(0) if self._ground.trouble else ""
        if word not in {"lost", "killed"}:
            self._ground.journal += lines
        if word.startswith("killed"):
            raise MachineGoneError
        if word:
            raise StateUnwritableError(f"the answer for line {first_seq} was lost")

    def write_snapshot(self, text: bytes, serial: int) -> None:
        self._check()
        self._ground.snapshot = self._ground.versions[serial] = text
        self._ground.journal = b""

    def release(self) -> None:
        if self._ground.locked_by is self._holder:
            self._ground.locked_by = None

    def _check(self) -> None:
        if self._ground.locked_by is not self._holder:
            raise StateLockLostError("the lock was taken away")
