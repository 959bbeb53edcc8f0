"""Real disks, saved once with Clonezilla's own tools."""

from pathlib import Path

import pytest

from pragmaspec.images.clonezilla.directory import read_directory
from pragmaspec.images.clonezilla.restore import restore
from pragmaspec.images.transfer.cached_folder import LocalReadableFolder
from pragmaspec.images.transfer.folders import LocalFolder
from tests.images.clonezilla import real


@pytest.fixture(scope="session")
def mbr_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real.mbr_disk(tmp_path_factory.mktemp("mbr") / "disk")


@pytest.fixture(scope="session")
def gpt_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return real.gpt_disk(tmp_path_factory.mktemp("gpt") / "disk")


@pytest.fixture(scope="session")
def saved(mbr_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The MBR disk as a Clonezilla directory with checksums. Copy it before you change it."""
    return real.with_checksums(real.clonezilla(mbr_disk, tmp_path_factory.mktemp("saved") / "image"))


def readable(directory: Path) -> LocalReadableFolder:
    return LocalReadableFolder(LocalFolder(directory), directory)


def restored(directory: Path, raw: Path) -> Path:
    """Restore the disk in a Clonezilla directory to the new file ``raw``."""
    folder = readable(directory)
    restore(read_directory(folder), folder, raw, lambda *_: None)
    return raw
