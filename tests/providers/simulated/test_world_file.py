"""The site's file: concurrent processes, incomplete lines, compaction, and damage."""

import json
import multiprocessing
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.providers.simulated import world_file
from pragmaspec.providers.simulated.objects import Image, SimulatedMachine
from pragmaspec.providers.simulated.shared_world import SharedWorld
from pragmaspec.providers.simulated.world_file import WorldLog


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sites" / "lab.jsonl"


def opened(path) -> SharedWorld:
    """The site as another process accesses it."""
    return SharedWorld(WorldLog(path, "lab"))


def put(shared, *things):
    with shared.writing() as world:
        for thing in things:
            world.put(thing)


def addresses(shared):
    with shared.reading() as world:
        return sorted(machine.address for machine in world.machines.values())


def test_reading_an_unused_site_creates_no_file(path):
    assert addresses(opened(path)) == []
    assert not path.parent.exists()


def test_the_file_is_private(path):
    shared = opened(path)
    put(shared, SimulatedMachine(address="one"))
    shared.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_every_line_is_a_json_object(path):
    shared = opened(path)
    put(shared, SimulatedMachine(address="one", cpus=2))
    with shared.writing() as world:
        world.remove(("machine", "", "one"))
    shared.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"kind": "site", "format": 1, "name": "lab"},
        {"kind": "machine", "address": "one", "cpus": 2},
        {"kind": "gone", "key": ["machine", "", "one"]},
    ]


def test_changes_of_other_processes_are_read_at_the_next_call(path):
    first, second = opened(path), opened(path)
    put(first, SimulatedMachine(address="one"))
    put(second, SimulatedMachine(address="two"))
    assert addresses(first) == addresses(second) == ["one", "two"]
    first.close()
    second.close()


def test_a_removed_file_is_an_empty_site(path):
    shared = opened(path)
    put(shared, SimulatedMachine(address="one"))
    assert addresses(shared) == ["one"]
    path.unlink()
    assert addresses(shared) == []
    assert not path.exists()
    put(shared, SimulatedMachine(address="two"))
    assert addresses(opened(path)) == ["two"]
    shared.close()


@pytest.mark.parametrize("torn", [b"{", b'{"kind":"machine","address":"tw', b'{"kind":"machine","address":"two"}'])
def test_an_incomplete_last_line_is_ignored(path, torn):
    shared = opened(path)
    put(shared, SimulatedMachine(address="one"))
    shared.close()
    with path.open("ab") as file:
        file.write(torn)
    assert addresses(opened(path)) == ["one"]
    put(shared, SimulatedMachine(address="three"))
    shared.close()
    again = opened(path)
    assert addresses(again) == ["one", "three"]
    again.close()


def test_an_empty_file_is_an_empty_site(path):
    path.parent.mkdir()
    path.touch()
    shared = opened(path)
    put(shared, SimulatedMachine(address="one"))
    shared.close()
    assert path.read_text().startswith('{"kind":"site"')


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2, cannot be read"),
        ('{"kind":"machine","address":"one","colour":"red"}', "line 2, cannot be read"),
        ('{"kind":"site","format":2,"name":"lab"}', "line 2, has format 2"),
    ],
)
def test_a_damaged_file_is_an_error(path, line, message):
    shared = opened(path)
    put(shared, SimulatedMachine(address="one"))
    shared.close()
    head, *rest = path.read_text().splitlines()
    path.write_text("\n".join([head, line, *rest, ""]))
    for _ in range(2):
        with pytest.raises(SiteUnreachableError, match=message):
            addresses(shared)
        with pytest.raises(SiteUnreachableError, match=message):
            addresses(opened(path))  # rather than a lock error
    path.write_text("\n".join([head, *rest, ""]))
    assert addresses(shared) == ["one"]
    shared.close()


def test_an_invalid_path_is_unreachable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SiteUnreachableError, match="Not a directory"):
        addresses(opened(tmp_path / "file" / "lab.jsonl"))


def test_a_failed_call_changes_nothing(path):
    shared = opened(path)
    put(shared, SimulatedMachine(address="one"))
    with pytest.raises(KeyError), shared.writing() as world:
        world.put(world.machines[_half_done(world)])
    assert addresses(shared) == addresses(opened(path)) == ["one"]
    shared.close()


def _half_done(world):
    """Add an object, and return an unknown key."""
    world.put(SimulatedMachine(address="two"))
    return ("machine", "", "never was")


def test_a_long_history_is_compacted(path):
    shared, other = opened(path), opened(path)
    put(shared, *(SimulatedMachine(address=f"node-{index}") for index in range(10)))
    assert len(addresses(other)) == 10
    for turn in range(2000):
        put(shared, Image(digest="ab", name="debian", size_bytes=turn))
    assert len(path.read_text().splitlines()) < 1200
    assert addresses(shared) == addresses(other) == sorted(f"node-{index}" for index in range(10))
    with other.reading() as world:
        assert [image.size_bytes for image in world.images.values()] == [1999]
    assert list(path.parent.iterdir()) == [path]
    shared.close()
    other.close()


def test_a_lock_that_is_never_released_makes_the_site_unreachable(path, monkeypatch):
    monkeypatch.setattr(world_file, "LOCK_LIMIT_S", 0.05)
    first, second = opened(path), opened(path)
    with first.writing() as world:
        world.put(SimulatedMachine(address="one"))
        assert addresses(second) == [], "queries do not wait"
        with pytest.raises(SiteUnreachableError, match="Another process"):
            put(second, SimulatedMachine(address="two"))
    assert addresses(second) == ["one"]
    first.close()
    second.close()


def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path):
    shared = opened(tmp_path / "lab.jsonl")
    put(shared, SimulatedMachine(address="one"))
    limited = multiprocessing.get_context("fork").Process(target=_write_beyond_the_limit, args=(tmp_path / "lab.jsonl",))
    limited.start()
    limited.join(30)
    assert limited.exitcode == 0
    assert addresses(shared) == ["one"]
    shared.close()


def _write_beyond_the_limit(path):
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, resource.RLIM_INFINITY))
    shared = opened(path)
    try:
        put(shared, SimulatedMachine(address="two"))
    except SiteError as error:
        os._exit(0 if "cannot write" in str(error) and addresses(shared) == ["one"] else 1)
    os._exit(2)


def test_concurrent_processes_and_threads_lose_no_changes(path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_put_many, args=(path, f"process-{number}")) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    shared = opened(path)
    assert len(addresses(shared)) == 3 * 2 * 300
    shared.close()


def _put_many(path, name):
    shared = opened(path)

    def put_some(thread):
        for index in range(300):
            # Every address is replaced many times, so that the file is compacted during concurrent access.
            put(
                shared,
                SimulatedMachine(address=f"{name}-{thread}-{index}"),
                Image(digest=f"{index % 7}", name=name, size_bytes=index),
            )

    threads = [threading.Thread(target=put_some, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)


MACHINES = st.builds(
    SimulatedMachine,
    address=st.sampled_from("abc"),
    lineage=st.sampled_from(["", "x"]),
    cpus=st.integers(0, 8),
    disk=st.booleans(),
    disk_bytes=st.integers(0, 8),
    status=st.sampled_from(["running", "off", "undefined"]),
)
CHANGES = st.lists(st.one_of(MACHINES, st.builds(lambda machine: machine.key, MACHINES)), max_size=30)


@settings(max_examples=100, deadline=None)
@given(changes=CHANGES)
def test_the_file_and_the_memory_are_equal(tmp_path_factory, changes):
    path = tmp_path_factory.mktemp("law") / "lab.jsonl"
    memory, file = SharedWorld(None), opened(path)
    for change in changes:
        for shared in (memory, file):
            with shared.writing() as world:
                if isinstance(change, SimulatedMachine):
                    world.put(change)
                else:
                    world.remove(change)
    read_again = opened(path)
    assert contents(memory) == contents(file) == contents(read_again)
    file.close()
    read_again.close()


def contents(shared):
    """The machines, and their sums, which are checked."""
    with shared.reading() as world:
        machines = dict(world.machines)
        sums = (world.cpus, world.disk_bytes)
    running = [machine.cpus for machine in machines.values() if machine.status == "running"]
    assert sums == (sum(running), sum(machine.disk_bytes for machine in machines.values() if machine.disk))
    return machines, sums


def test_the_first_name_is_kept(path):
    first = opened(path)
    with first.reading() as world:
        assert world.first_name == ""
    put(first, SimulatedMachine(address="one"))
    with first.reading() as world:
        assert world.first_name == "lab"
    first.close()
    renamed = SharedWorld(WorldLog(path, "hall"))
    for cpus in range(1, 1100):
        put(renamed, SimulatedMachine(address="one", cpus=cpus))
    with renamed.reading() as world:
        assert (world.first_name, len(world)) == ("lab", 1)
    renamed.close()
    lines = path.read_text().splitlines()
    assert (json.loads(lines[0])["name"], len(lines) < 1000) == ("lab", True)
