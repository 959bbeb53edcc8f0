"""A remote backend in memory, whose responses can be lost."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pragmaspec.errors import StateLockedError, StateLockLostError, StateUnwritableError, UsageError
from pragmaspec.state.backends.base import Backend, JournalText, LockedBackend, LockHolder, RawState, StateVersion


class MachineGoneError(Exception):
    """The process has ended."""


@dataclass
class MemoryBackend(Backend):
    """``faults`` are the outcomes of the next appends.

    ``lost``: the request is lost; ``unanswered``: the response is lost; ``killed`` and ``killed-after``: the process ends before
    or after the write. ``watch`` is called with the lines before each append.
    """

    snapshot: bytes | None = None
    journal: bytes = b""
    serial: int = -1
    versions: dict[int, bytes] = field(default_factory=dict)
    locked_by: LockHolder | None = None
    faults: list[str] = field(default_factory=list)
    watch: Callable[[bytes], None] = lambda lines: None

    @property
    def title(self) -> str:
        return "memory://hello"

    def read(self) -> RawState:
        journals = (JournalText(self.serial, f"{self.title}#journal", self.journal),) if self.journal else ()
        return RawState(name=self.title, snapshot=self.snapshot, journals=journals)

    def lock(self, holder: LockHolder) -> "LockedMemoryBackend":
        if self.locked_by is not None:
            raise StateLockedError(f"{self.locked_by.id} holds the lock")
        self.locked_by = holder
        return LockedMemoryBackend(self, holder)

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


class LockedMemoryBackend(LockedBackend):
    def __init__(self, backend: MemoryBackend, holder: LockHolder) -> None:
        self._backend, self._holder = backend, holder

    def read(self) -> RawState:
        return self._backend.read()

    def begin_journal(self, serial: int) -> None:
        self._check()
        self._backend.serial, self._backend.journal = serial, b""

    def append(self, lines: bytes, first_seq: int, reserve_bytes: int) -> None:
        self._check()
        self._backend.watch(lines)
        fault = self._backend.faults.pop(0) if self._backend.faults else ""
        if fault not in {"lost", "killed"}:
            self._backend.journal += lines
        if fault.startswith("killed"):
            raise MachineGoneError
        if fault:
            raise StateUnwritableError(f"the response for line {first_seq} was lost")

    def write_snapshot(self, text: bytes, serial: int) -> None:
        self._check()
        self._backend.snapshot = self._backend.versions[serial] = text
        self._backend.journal = b""

    def release(self) -> None:
        if self._backend.locked_by is self._holder:
            self._backend.locked_by = None

    def _check(self) -> None:
        if self._backend.locked_by is not self._holder:
            raise StateLockLostError("the lock was broken")
