"""Copies of files into volumes of this machine: bytes and holes, only into the volume created for the copy."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.errors import SiteCapacityError
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.providers.libvirt.volumes_local import can_copy, copy_file
from pragmaspec.resources import Mark
from pragmaspec.site import LibvirtSite
from tests.providers.conftest import small_image

PIECES = st.lists(st.tuples(st.booleans(), st.integers(1, 200_000)), max_size=6)


def made(directory: Path, name: str, size: int) -> Path:
    path = directory / name
    with path.open("wb") as file:
        file.truncate(size)
    return path


@settings(max_examples=40, deadline=None)
@given(PIECES)
def test_a_copy_has_the_same_bytes_and_holes(pieces: list[tuple[bool, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = made(Path(directory), "source", sum(length for _, length in pieces))
        at = 0
        with source.open("r+b") as file:
            for is_data, length in pieces:
                if is_data:
                    os.pwrite(file.fileno(), os.urandom(length), at)
                at += length
        target = made(Path(directory), "target", at)
        counts: list[int] = []
        assert can_copy(target, at)
        copy_file(source, target, counts.append)
        assert target.read_bytes() == source.read_bytes()
        assert sum(counts) == at
        assert target.stat().st_blocks <= source.stat().st_blocks + 8


def test_copy_between_file_systems(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        source = Path(directory) / "source"
        source.write_bytes(os.urandom(300_000) + bytes(300_000) + b"end")
        target = made(tmp_path, "target", 600_003)
        copy_file(source, target, lambda count: None)
        assert target.read_bytes() == source.read_bytes()


def test_can_copy_only_into_the_created_file(tmp_path: Path) -> None:
    file = made(tmp_path, "file", 10)
    assert can_copy(file, 10)
    assert not can_copy(file, 11), "another size than the created file"
    assert not can_copy(tmp_path / "absent", 0)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert not can_copy(link, 10)
    assert not can_copy(tmp_path, tmp_path.stat().st_size)


def test_a_truncated_source_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(65536))
    target = made(tmp_path, "target", 65536)

    def cut(count: int) -> None:
        os.truncate(source, 0)

    with pytest.raises(OSError, match="was truncated"):
        copy_file(source, target, cut)


@pytest.fixture
def small_pool(hypervisor: None) -> Iterator[libvirt.virStoragePool]:
    """A pool in a file system of half a MiB."""
    name = f"pragmaspec-small-{uuid4().hex[:8]}"
    directory = Path("/var/lib/libvirt") / name
    directory.mkdir(mode=0o711)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=711", "tmpfs", directory], check=True)
    connection = libvirt.open("qemu:///system")
    try:
        pool = connection.storagePoolCreateXML(
            f"<pool type='dir'><name>{name}</name><target><path>{directory}</path></target></pool>"
        )
        yield pool
        pool.destroy()
    finally:
        connection.close()
        subprocess.run(["umount", directory], check=True)
        directory.rmdir()


@pytest.mark.hypervisor
def test_an_image_too_large_for_the_pool_leaves_nothing(small_pool: libvirt.virStoragePool, tmp_path: Path) -> None:
    site = LibvirtSite(name="lab", virt_type="qemu", pool=small_pool.name())
    image, files = small_image(tmp_path, site.name)
    files.disk.write_bytes(os.urandom(image.disk.size_bytes))
    provider = LibvirtProvider(site)
    mark = Mark(lineage=str(uuid4()), address=image.address)
    with pytest.raises(SiteCapacityError, match="No space left on device"):
        provider.stage(StageRequest(image, mark, lambda: ImageFiles(disk=files.disk)))
    assert [name.rpartition(".")[2] for name in small_pool.listVolumes()] == ["ref"]
    provider.clean(image, mark)
    assert small_pool.listVolumes() == []
    provider.close()
