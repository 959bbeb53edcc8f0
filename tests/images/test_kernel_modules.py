from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.kernel_modules import load_order


def module(directory: Path, name: str, *needs: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0")


def test_each_module_comes_after_what_it_needs(tmp_path: Path) -> None:
    module(tmp_path / "drivers", "virtio_blk", "virtio", "virtio_ring")
    module(tmp_path / "drivers", "virtio", "virtio_ring")
    module(tmp_path / "core", "virtio_ring")
    module(tmp_path / "core", "virtio-rng", "virtio")
    module(tmp_path / "core", "unneeded")
    names = [path.stem for path in load_order(tmp_path, ["virtio_blk", "virtio_rng"])]
    assert names == ["virtio_ring", "virtio", "virtio_blk", "virtio-rng"]


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    module(tmp_path, "virtio_blk", "virtio")
    with pytest.raises(ImageError, match="no module virtio below"):
        load_order(tmp_path, ["virtio_blk"])
