import os
import re
import subprocess
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.debian.ext4 import make_ext4
from pragmaspec.images.store.blobs import file_sha256

EPOCH = 1_700_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """More files than one group of inodes holds blocks for, a link and a directory."""
    tree = tmp_path / "tree"
    for number in range(300):
        file = tree / f"directory-{number % 7}" / f"file-{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(f"content {number}".encode() * (number + 1))
        os.utime(file, (EPOCH - number, EPOCH - number))
    (tree / "link").symlink_to("directory-1/file-1")
    (tree / "recent").write_text("written after the epoch")
    return tree


def make(tree: Path, image: Path, mib: int = 160) -> str:
    """The digest of what was made."""
    make_ext4(tree, image, size_bytes=mib * 2**20, seed="test", epoch=EPOCH, label="test")
    return file_sha256(image)


def debugfs(image: Path, command: str) -> str:
    return subprocess.run(["/sbin/debugfs", "-R", command, str(image)], check=True, capture_output=True, text=True).stdout


def test_equal_trees_yield_equal_bytes(tree: Path, tmp_path: Path) -> None:
    first = make(tree, tmp_path / "first")
    for file in tree.rglob("*"):
        if not file.is_symlink():
            seen = file.stat()
            os.utime(file, ns=(0, seen.st_mtime_ns))
            file.chmod(seen.st_mode)
    assert make(tree, tmp_path / "second") == first


def test_the_file_system_is_consistent_and_contains_the_tree(tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make(tree, image)
    assert subprocess.run(["/sbin/e2fsck", "-f", "-n", str(image)], check=False, capture_output=True).returncode == 0
    assert debugfs(image, "cat /directory-3/file-3") == "content 3" * 4
    assert "directory-1/file-1" in debugfs(image, "stat /link")


def test_no_timestamp_is_later_than_the_epoch(tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make(tree, image)
    old, recent = debugfs(image, "stat /directory-5/file-5"), debugfs(image, "stat /recent")
    assert times(old) == {"ctime": EPOCH, "atime": EPOCH, "mtime": EPOCH - 5, "crtime": EPOCH}
    assert set(times(recent).values()) == {EPOCH}


def times(told: str) -> dict[str, int]:
    found = re.findall(r"(\w+time): 0x([0-9a-f]+):([0-9a-f]+)", told)
    assert all(fraction == "00000000" for _, _, fraction in found)
    return {name: int(value, 16) for name, value, _ in found}


def test_a_full_file_system_is_reported_with_the_tools_messages(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"mkfs\.ext4 failed"):
        make(tree, tmp_path / "image", mib=2)
