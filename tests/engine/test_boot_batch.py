"""Machines that are booted together and run together."""

import threading

from pragmaspec.engine.boot_batch import BootBatch


def test_none_runs_before_the_last_is_made():
    burst, running = BootBatch(), []
    for key in "abc":
        burst.expect(key)
    burst.hold("a", lambda: running.append("a"))
    burst.hold("b", lambda: running.append("b"))
    assert running == []
    burst.hold("c", lambda: running.append("c"))
    assert running == ["a", "b", "c"]


def test_one_that_fails_or_is_not_held_keeps_nobody():
    burst, running = BootBatch(), []
    for key in "ab":
        burst.expect(key)
    burst.hold("a", lambda: running.append("a"))
    burst.end("b")
    assert running == ["a"]


def test_the_next_burst_holds_again():
    burst, running = BootBatch(), []
    for key in ("a", "b"):
        burst.expect(key)
        burst.hold(key, lambda key=key: running.append(key))
        assert running[-1] == key
    burst.expect("c")
    burst.expect("d")
    burst.hold("c", lambda: running.append("c"))
    assert "c" not in running
    burst.end("d")
    assert "c" in running


def test_a_machine_that_takes_long_keeps_the_others_only_for_a_while():
    burst, first = BootBatch(limit_s=0.05), threading.Event()
    for key in "abc":
        burst.expect(key)
    burst.hold("a", first.set)
    assert first.wait(10)
    running = []
    burst.hold("b", lambda: running.append("b"))
    assert running == ["b"], "its time is over too"
    burst.end("c")
    burst.expect("d")
    burst.expect("e")
    burst.hold("d", lambda: running.append("d"))
    assert running == ["b"], "another burst has its own time"
    burst.end("e")
    assert running == ["b", "d"]
