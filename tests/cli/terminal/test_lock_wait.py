import pytest

from pragmaspec.cli.terminal.lock_wait import LockWaitMessages
from pragmaspec.state.backends.base import LockHolder

ANN = LockHolder(pid=7, user="ann", host="h", since="2026-01-01T00:00:00+00:00", command="apply", id="x")


def test_holders_and_long_waits_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    wait = LockWaitMessages(lambda: now)
    for now, holder in ((0, ANN), (5, ANN), (10, ANN), (15, ANN), (41, ANN), (42, None), (53, None)):
        wait(holder, 300 - now)
    result = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0].partition(" for ")[0] for line in result if not line.startswith("  ")] == [
        "Waiting up to 5 min",
        "Still waiting after 10 s",
        "Still waiting after 41 s",
        "Waiting up to 4 min 18 s",
        "Still waiting after 53 s",
    ]
    assert "ann" in result[0]
    assert "another run" in result[-1]
