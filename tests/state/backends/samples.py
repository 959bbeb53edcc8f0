"""What the tests of grounds write and read."""

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
    """The text of a state with this serial; different for each ``applied_seq``."""
    return encode_snapshot(Snapshot(state=State(lineage=lineage, serial=serial), applied_seq=applied_seq))


def lines(first_seq: int, last_seq: int | None = None, said: str = "") -> bytes:
    """Journal lines, as a backend sees them: bytes with line ends. With what a database or JSON might trip over."""
    return b"".join(
        b'{"seq":%d,"said":"%s \\u0000 \xc3\xa4 \\\\ \'"}\n' % (seq, said.encode())
        for seq in range(first_seq, (last_seq or first_seq) + 1)
    )
