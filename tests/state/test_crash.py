"""Power cuts: after each call that changes the disk, every image that may be left is opened, and is a state that existed."""

from contextlib import suppress
from random import Random

import pytest

from pragmaspec.errors import StateUnreadableError
from tests.state.faulty_runs import Promises, RecordingStore, first_run, recovered, second_run, third_run
from tests.state.memory_disk import MemoryDisk
from tests.state.samples import LINEAGE


class PowerCutError(Exception):
    """Ends a run where the power goes."""


def opened_everywhere(begin: dict, run, promises: Promises) -> tuple[MemoryDisk, int]:
    """Let ``run`` go on from ``begin`` and open each image on the way. How many different ones there were."""
    seen: set[int] = set()

    def look(call, path):
        for image in disk.images():
            key = hash((frozenset(image.items()), promises.kept))
            if key not in seen:
                seen.add(key)
                check(image, promises, f"after {call} of {path}")

    disk = MemoryDisk(begin, after=look)
    run(RecordingStore(disk, promises), promises)
    return disk, len(seen)


def check(image: dict, promises: Promises, where: str) -> None:
    state, store = recovered(MemoryDisk(image))
    assert promises.held_by(state.records), where
    if promises.kept >= 0:
        assert state.lineage == LINEAGE, where
    with store.session("apply", LINEAGE) as session:
        session.checkpoint()
    assert store.read().records == state.records, f"{where}: taking it in changed it"


def test_every_crash_image_of_a_first_run_is_a_state_that_existed():
    _, images = opened_everywhere({}, first_run, Promises())
    assert images > 100


def test_every_crash_image_of_an_interrupted_run_and_its_successor_is_a_state_that_existed():
    promises = Promises()
    disk, _ = opened_everywhere({}, first_run, promises)
    disk, _ = opened_everywhere(disk.now(), second_run, promises)
    state, _ = recovered(disk)
    assert state.records == promises.points[promises.kept], "what was not flushed is not claimed"
    disk, _ = opened_everywhere(disk.now(), third_run, promises)
    assert recovered(disk)[0].records == promises.points[-1]


@pytest.mark.parametrize("seed", range(60))
def test_repeated_crashes_lose_nothing(seed):
    """Power cuts at any call of any run, one after another, each with one of the images chosen."""
    random = Random(seed)  # noqa: S311 - chance, not secrets
    promises, disk = Promises(), MemoryDisk()
    for _ in range(12):
        disk = cut_short(disk, promises, random)
        state, _ = recovered(disk)
        assert promises.held_by(state.records)
        # What was found is what everything after it goes on from.
        promises.points, promises.kept = [state.records], 0


def cut_short(disk: MemoryDisk, promises: Promises, random: Random) -> MemoryDisk:
    """What a power cut somewhere in one of the runs leaves of ``disk``."""
    left = random.randrange(1, 60)
    image: list[MemoryDisk] = []

    def cut(call, path):
        nonlocal left
        left -= 1
        if left == 0:
            image.append(disk.crashed(random))
            raise PowerCutError

    disk.after = cut
    with suppress(PowerCutError):
        random.choice((first_run, second_run, third_run))(RecordingStore(disk, promises), promises)
    disk.after = lambda call, path: None
    return image[0] if image else disk


class Careless(MemoryDisk):
    """A disk on which one kind of sync does nothing."""

    def __init__(self, begin, after, lies: str) -> None:
        super().__init__(begin, after=after)
        self._lies = lies

    def _sync(self, call, handle):
        if call != self._lies:
            super()._sync(call, handle)

    def fsync_directory(self, folder):
        if self._lies != "fsync_directory":
            super().fsync_directory(folder)


@pytest.mark.parametrize("lies", ["fdatasync", "fsync", "fsync_directory"])
def test_every_kind_of_sync_is_required(lies):
    """That the images above find what they are for: without one of the syncs, something promised is lost."""
    promises = Promises()

    def look(call, path):
        for image in disk.images():
            check(image, promises, f"after {call} of {path}")

    disk = Careless({}, look, lies)
    with pytest.raises((AssertionError, StateUnreadableError)):
        first_run(RecordingStore(disk, promises), promises)
