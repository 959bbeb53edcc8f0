"""Values that the backend tests write and read."""

from pragmaspec.net.retry import RetryPolicy
from pragmaspec.state.backends.base import LockHolder
from pragmaspec.state.backends.s3.lock import LeaseTimes
from pragmaspec.state.snapshot import Snapshot, encode_snapshot
from pragmaspec.state_model import State
from tests.state.samples import LINEAGE

FAST_RETRY = RetryPolicy(tries=4, first_pause_s=0.01, max_pause_s=0.05, connect_timeout_s=5.0, read_timeout_s=10.0)
QUICK = LeaseTimes(heartbeat_s=0.5, trust_s=3.0, stale_s=8.0)


def holder(lock_id: str, command: str = "apply") -> LockHolder:
    return LockHolder(pid=4711, user="anna", host="desk", since="2026-01-02T03:04:05+00:00", command=command, id=lock_id)


def snapshot(serial: int, lineage: str = LINEAGE, applied_seq: int = 0) -> bytes:
    """Return the text of a state with this serial, different for each ``applied_seq``."""
    return encode_snapshot(Snapshot(state=State(lineage=lineage, serial=serial), applied_seq=applied_seq))


def lines(first_seq: int, last_seq: int | None = None, note: str = "") -> bytes:
    """Return journal lines as a backend sees them, with characters that a database or JSON might mishandle."""
    return b"".join(
        b'{"seq":%d,"note":"%s \\u0000 \xc3\xa4 \\\\ \'"}\n' % (seq, note.encode())
        for seq in range(first_seq, (last_seq or first_seq) + 1)
    )
