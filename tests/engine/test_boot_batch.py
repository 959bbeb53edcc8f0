"""Batches of machines that are created paused and resumed together."""

import threading

from pragmaspec.engine.boot_batch import BootBatch


def test_no_machine_is_resumed_before_the_last_is_created():
    batch, running = BootBatch(), []
    for key in "abc":
        batch.expect(key)
    batch.hold("a", lambda: running.append("a"))
    batch.hold("b", lambda: running.append("b"))
    assert running == []
    batch.hold("c", lambda: running.append("c"))
    assert running == ["a", "b", "c"]


def test_a_failed_machine_does_not_hold_the_batch():
    batch, running = BootBatch(), []
    for key in "ab":
        batch.expect(key)
    batch.hold("a", lambda: running.append("a"))
    batch.end("b")
    assert running == ["a"]


def test_a_later_batch_is_held_again():
    batch, running = BootBatch(), []
    for key in ("a", "b"):
        batch.expect(key)
        batch.hold(key, lambda key=key: running.append(key))
        assert running[-1] == key
    batch.expect("c")
    batch.expect("d")
    batch.hold("c", lambda: running.append("c"))
    assert "c" not in running
    batch.end("d")
    assert "c" in running


def test_a_batch_is_released_after_its_time_limit():
    batch, first = BootBatch(limit_s=0.05), threading.Event()
    for key in "abc":
        batch.expect(key)
    batch.hold("a", first.set)
    assert first.wait(10)
    running = []
    batch.hold("b", lambda: running.append("b"))
    assert running == ["b"], "the time limit of the batch has passed"
    batch.end("c")
    batch.expect("d")
    batch.expect("e")
    batch.hold("d", lambda: running.append("d"))
    assert running == ["b"], "another batch has its own time limit"
    batch.end("e")
    assert running == ["b", "d"]
