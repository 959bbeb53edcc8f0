"""The images that the stacks of this machine need."""

from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.usage import StackUsage, record_usage, stack_usages
from pragmaspec.stack.images.usage import needed_images, record_use
from pragmaspec.stack.stack import Stack
from tests.cli.harness import CommandLine


@pytest.fixture
def store(cli: CommandLine) -> BlobStore:
    return BlobStore(cli.directory.parent / "home" / "cache" / "pragmaspec" / "images")


def stack_with_recorded_use(cli: CommandLine, store: BlobStore) -> Stack:
    stack = Stack(cli.directory / "cluster.yaml")
    record_use(stack.location, stack.wanted(), store.directory)
    return stack


def test_images_of_the_spec_are_needed(cli: CommandLine, store: BlobStore) -> None:
    cli.spec()
    (image,) = stack_with_recorded_use(cli, store).wanted().images
    needed = needed_images(store)
    assert needed.images == needed.files == {image.digest}
    assert needed.uses == {image.digest: (str(cli.directory / "cluster.yaml"),)}
    assert needed.gone == ()


def test_images_in_the_recorded_state_are_needed_after_the_spec_changed(cli: CommandLine, store: BlobStore) -> None:
    cli.running()
    (before,) = stack_with_recorded_use(cli, store).wanted().images
    disk = cli.directory / "disk.raw"
    disk.write_bytes(b"another" + disk.read_bytes()[7:])
    (after,) = stack_with_recorded_use(cli, store).wanted().images
    assert before.digest != after.digest
    assert needed_images(store).images == {before.digest, after.digest}
    (cli.directory / "cluster.yaml").unlink()
    assert needed_images(store).images == {before.digest}, "without the spec, the image in the recorded state"


def test_a_deleted_stack_needs_no_images(cli: CommandLine, store: BlobStore) -> None:
    cli.spec()
    stack_with_recorded_use(cli, store)
    (cli.directory / "cluster.yaml").unlink()
    needed = needed_images(store)
    assert (needed.images, [user.shown for user in needed.gone]) == (frozenset(), [str(cli.directory / "cluster.yaml")])


def test_an_unreadable_state_prevents_pruning(cli: CommandLine, store: BlobStore) -> None:
    cli.running()
    stack_with_recorded_use(cli, store)
    state = cli.directory / "state" / "cluster" / "state.json"
    state.write_text("{")
    with pytest.raises(ImageError, match="Nothing was removed") as refused:
        needed_images(store)
    spec = str(cli.directory / "cluster.yaml")
    assert f"--forget {spec}" in str(refused.value)
    assert [user.shown for user in needed_images(store, [spec]).gone] == [spec]


def test_an_unreachable_state_server_prevents_pruning(store: BlobStore) -> None:
    record_usage(store, StackUsage(spec="/absent/cluster.yaml", state="http://127.0.0.1:9/state"))
    with pytest.raises(ImageError, match="Nothing was removed"):
        needed_images(store)


def test_usage_is_recorded_with_absolute_paths(cli: CommandLine, store: BlobStore) -> None:
    cli.spec()
    record_use(Stack("cluster.yaml").location, Stack("cluster.yaml").wanted(), store.directory)
    (user,) = stack_usages(store)
    assert (Path(user.spec), Path(user.state)) == (cli.directory / "cluster.yaml", cli.directory / "state" / "cluster")
