"""Power cuts: after each call that changes the disk, every image that may be left is opened; each is a state that existed."""

from contextlib import suppress
from random import Random

import pytest

from pragmaspec.errors import StateUnreadableError
from tests.state.faulty_runs import Promises, RecordingStore, first_run, recovered, second_run, third_run
from tests.state.memory_disk import MemoryDisk
from tests.state.samples import LINEAGE


class PowerCutError(Exception):
    """Ends a run at a power cut."""


def open_every_image(begin: dict, run, promises: Promises) -> tuple[MemoryDisk, int]:
    """Continue from ``begin`` with ``run``, open each image on the way, and return their number."""
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
    assert store.read().records == state.records, f"{where}: merging changed it"


def test_every_crash_image_of_a_first_run_is_a_state_that_existed():
    _, images = open_every_image({}, first_run, Promises())
    assert images > 100


def test_every_crash_image_of_an_interrupted_run_and_its_successor_is_a_state_that_existed():
    promises = Promises()
    disk, _ = open_every_image({}, first_run, promises)
    disk, _ = open_every_image(disk.now(), second_run, promises)
    state, _ = recovered(disk)
    assert state.records == promises.points[promises.kept], "unflushed entries are not recorded"
    disk, _ = open_every_image(disk.now(), third_run, promises)
    assert recovered(disk)[0].records == promises.points[-1]


@pytest.mark.parametrize("seed", range(60))
def test_repeated_crashes_lose_nothing(seed):
    """Consecutive power cuts at random calls of random runs, each with a random image."""
    random = Random(seed)  # noqa: S311 - chance, not secrets
    promises, disk = Promises(), MemoryDisk()
    for _ in range(12):
        disk = cut_short(disk, promises, random)
        state, _ = recovered(disk)
        assert promises.held_by(state.records)
        # Later runs continue from what was found.
        promises.points, promises.kept = [state.records], 0


def cut_short(disk: MemoryDisk, promises: Promises, random: Random) -> MemoryDisk:
    """Return what a power cut at a random call of a random run leaves of ``disk``."""
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
    """A disk on which one kind of sync has no effect."""

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
    """The images above are sufficient: without one kind of sync, something promised is lost."""
    promises = Promises()

    def look(call, path):
        for image in disk.images():
            check(image, promises, f"after {call} of {path}")

    disk = Careless({}, look, lies)
    with pytest.raises((AssertionError, StateUnreadableError)):
        first_run(RecordingStore(disk, promises), promises)
