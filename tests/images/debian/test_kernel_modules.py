import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from pragmaspec.errors import ImageError
from pragmaspec.images.debian.initramfs import load_order, module_bytes, module_name


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


def test_compressed_modules_are_read_and_built_in_ones_need_no_loading(tmp_path: Path) -> None:
    """As Ubuntu ships them."""
    for pack, end in ((gzip.compress, ".gz"), (lzma.compress, ".xz"), (zstandard.ZstdCompressor().compress, ".zst")):
        folder = tmp_path / end[1:]
        module(folder, "virtio_rng", "rng_core", "virtio")
        module(folder, "rng-core")
        for file in list(folder.iterdir()):
            file.with_name(file.name + end).write_bytes(pack(file.read_bytes()))
            file.unlink()
        (folder / "modules.builtin").write_text("kernel/drivers/virtio/virtio.ko\nkernel/drivers/block/virtio_blk.ko\n")
        order = load_order(folder, ["virtio_blk", "virtio_rng"])
        assert [module_name(path) for path in order] == ["rng-core.ko", "virtio_rng.ko"]
        assert module_bytes(order[0]).startswith(b"\x7fELF")
