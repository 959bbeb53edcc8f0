"""A complete run on a backend, with its progress."""

from dataclasses import dataclass, field

from pragmaspec.errors import StateUnreachableError, StateUnwritableError
from pragmaspec.state.backends.base import Backend, RawState
from tests.state.backends.samples import holder, lines, snapshot

STEPS = (
    ("snapshot", 1, b""),
    ("batch", 1, lines(1, 2)),
    ("batch", 3, lines(3)),
    ("snapshot", 2, b""),
    ("batch", 4, lines(4, 6)),
)


@dataclass
class Run:
    """``done`` and ``begun`` count the steps acknowledged and attempted; ``error`` stopped the run."""

    begun: int = 0
    done: int = 0
    error: Exception | None = None
    history: list[tuple[bytes | None, bytes]] = field(default_factory=list)


def whole_run(backend: Backend, lock_id: str = "one") -> Run:
    """Lock, read, do all steps, release; stop at the first error."""
    run = Run()
    try:
        locked = backend.lock(holder(lock_id))
    except StateUnreachableError as error:
        run.error = error
        return run
    try:
        locked.read()
        for kind, number, batch in STEPS:
            run.begun += 1
            if kind == "snapshot":
                locked.write_snapshot(snapshot(number), number)
                locked.begin_journal(number)
            else:
                locked.append(batch, number, 4096)
            run.done += 1
    except (StateUnreachableError, StateUnwritableError) as error:
        run.error = error
    finally:
        locked.release()
    return run


def after(steps: int) -> tuple[bytes | None, bytes]:
    """Return the snapshot and the journal after that number of steps."""
    text: bytes | None = None
    journal = b""
    for kind, number, batch in STEPS[:steps]:
        text, journal = (snapshot(number), b"") if kind == "snapshot" else (text, journal + batch)
    return text, journal


def found(raw: RawState) -> tuple[bytes | None, bytes]:
    """Return snapshot and journal of ``raw``."""
    return raw.snapshot, b"".join(text.data.rstrip(b"\0") for text in raw.journals)
