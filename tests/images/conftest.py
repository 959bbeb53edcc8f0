"""Disks made by qemu-img, a server that misbehaves on request, and a library in an empty directory."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pragmaspec.images.library import ImageLibrary
from tests.images.file_server import FileServer


@pytest.fixture
def library(tmp_path: Path) -> ImageLibrary:
    return ImageLibrary(tmp_path / "store")


@pytest.fixture
def spec_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "spec"
    directory.mkdir()
    return directory


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


@pytest.fixture(scope="session")
def make_disk(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``make_disk("name", "-o", "cluster_size=512")``: a qcow2 disk of 64 MiB, made by qemu-img."""

    def make(name: str, *options: str, size: str = "64M", kind: str = "qcow2") -> Path:
        file = tmp_path_factory.mktemp("disks") / name
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, *options, str(file), size], check=True)
        return file

    return make


@pytest.fixture(scope="session")
def qcow2(make_disk: Callable[..., Path]) -> bytes:
    return make_disk("plain.qcow2").read_bytes()
