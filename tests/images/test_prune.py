"""What nobody needs goes; what somebody needs, or may be about to, stays."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.prune import DAY_S, plan_prune, prune
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.usage import StackUsage, record_usage, remove_usage, stack_usages
from pragmaspec.images.store.verify import verify_store
from pragmaspec.resources import Blob


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


def put(store: BlobStore, content: bytes) -> Blob:
    part = store.part("one")
    part.write_bytes(content)
    return store.adopt(part)


def later(days: float = 2) -> float:
    return time.time() + days * DAY_S


def test_unused_files_are_removed_and_others_kept(store: BlobStore) -> None:
    used, unused = put(store, b"used" * 5000), put(store, b"unused" * 5000)
    pruning = plan_prune(store, {used.sha256}, set(), later())
    assert [(each.path, each.why) for each in pruning.removable] == [(str(store.path(unused.sha256)), "unused")]
    assert pruning.bytes >= unused.size_bytes
    assert pruning.kept_files == 1
    assert prune(store, pruning) == pruning.removable
    assert store.has(used)
    assert not store.has(unused)
    assert plan_prune(store, {used.sha256}, set(), later()).removable == ()


def test_recent_files_are_kept(store: BlobStore) -> None:
    """Somebody may have made it a moment ago, and be about to write down that he uses it."""
    put(store, b"young")
    store.part("download").write_bytes(b"half")
    assert plan_prune(store, set(), set(), time.time()).removable == ()
    assert len(plan_prune(store, set(), set(), later()).removable) == 2


def test_a_file_published_again_meanwhile_is_kept(store: BlobStore) -> None:
    blob = put(store, b"content")
    pruning = plan_prune(store, set(), set(), later())
    put(store, b"content")
    assert prune(store, pruning) == ()
    assert store.has(blob)


def test_leftovers_of_a_crash_are_removed_and_files_in_use_kept(store: BlobStore) -> None:
    store.part("crashed").write_bytes(b"half")
    store.part("download").with_suffix(".bad").write_bytes(b"wrong")
    with store.locked("crashed"):
        pass
    with store.locked("build"), store.scratch("build") as directory:
        (directory / "file").write_bytes(bytes(10000))
        pruning = plan_prune(store, set(), set(), later())
        assert {(Path(each.path).name, each.why) for each in pruning.removable} == {
            ("crashed.part", "left over"), ("download.bad", "put aside"),
        }  # fmt: skip
        prune(store, pruning)
        assert (directory / "file").exists()
    assert list(store.incoming.iterdir()) == []


def test_a_run_that_starts_after_planning_is_not_disturbed(store: BlobStore) -> None:
    store.part("name").write_bytes(b"half")
    pruning = plan_prune(store, set(), set(), later())
    with store.locked("name"):
        assert prune(store, pruning) == ()
        assert store.part("name").exists()


def test_the_scratch_directory_of_a_killed_run_is_removed(store: BlobStore) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from pragmaspec.images.store.blobs import BlobStore
        store = BlobStore(Path({str(store.directory)!r}))
        with store.locked("build"), store.scratch("build") as directory:
            (directory / "tree").mkdir()
            (directory / "tree" / "file").write_bytes(bytes(10000))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False).returncode == -9
    (left,) = plan_prune(store, set(), set(), later()).removable
    assert (left.why, left.bytes >= 10000) == ("left over", True)
    assert prune(store, plan_prune(store, set(), set(), later())) == (left,)
    assert list(store.incoming.iterdir()) == []


def test_an_empty_store_has_nothing_to_prune(store: BlobStore) -> None:
    assert plan_prune(store, set(), set(), later()).removable == ()


def test_usages_are_recorded_and_removed(store: BlobStore) -> None:
    one = StackUsage(spec="/home/me/cluster.yaml", state="/home/me/state/hello", images=("a" * 64,))
    two = StackUsage(spec="", state="https://host/state")
    assert stack_usages(store) == ()
    for user in (one, two, two):
        record_usage(store, user)
    assert stack_usages(store) == (two, one)
    newer = StackUsage(spec=one.spec, state=one.state, images=("b" * 64,))
    record_usage(store, newer)
    assert stack_usages(store) == (two, newer), "the newest images of a spec are the ones that count"
    assert [user.shown for user in stack_usages(store)] == [two.state, one.spec]
    remove_usage(store, one)
    assert stack_usages(store) == (two,)


def test_a_damaged_usage_is_an_error(store: BlobStore) -> None:
    record_usage(store, StackUsage(spec="/spec", state="/state"))
    (file,) = (store.directory / "users").iterdir()
    file.write_bytes(b"{")
    with pytest.raises(ImageError, match="the stack that it belongs to is unknown"):
        stack_usages(store)


def test_a_damaged_file_is_moved_aside(store: BlobStore) -> None:
    good, bad = put(store, b"good"), put(store, b"bad")
    path = store.path(bad.sha256)
    path.chmod(0o644)
    path.write_bytes(b"BAD")
    counted: list[tuple[str, int, int]] = []
    found = {each.digest: each for each in verify_store(store, lambda *told: counted.append(told))}
    assert found[good.sha256].whole
    assert not found[bad.sha256].whole
    assert Path(found[bad.sha256].aside).read_bytes() == b"BAD"
    assert not path.exists()
    assert (good.sha256, 4, 4) in counted
    assert os.listdir(store.directory / "sha256") == [good.sha256]  # noqa: PTH208 - names are what is meant
    assert verify_store(BlobStore(store.directory / "absent")) == ()
