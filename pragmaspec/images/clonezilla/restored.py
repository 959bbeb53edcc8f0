"""A restored disk, put into the store."""

from pathlib import Path

from pragmaspec.images.clonezilla.directory import read_directory
from pragmaspec.images.clonezilla.restore import restore
from pragmaspec.images.disk import make_disk
from pragmaspec.images.inspect import examine
from pragmaspec.images.made import Made
from pragmaspec.images.near import Near
from pragmaspec.images.qcow2_writer import write_qcow2
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.sparse import blocks_of
from pragmaspec.images.window import opened


def restored(near: Near, workshop: Workshop, scratch: Path, key: str) -> Made:
    """The disk in a Clonezilla directory, as qcow2 in the store. The caller holds the store's lock ``key``. Raises ImageError."""
    raw, store = scratch / "disk.raw", workshop.store
    workshop.step("reading the Clonezilla directory")
    directory = read_directory(near)
    restore(directory, near, raw, workshop.step, lambda wanted: store.check_space(2 * wanted, workshop.image))
    workshop.step("writing the disk")
    part = store.part(key)
    with opened(raw) as window:
        examine(window, "raw")
        with part.open("wb") as target:
            write_qcow2(target, blocks_of(window.handle))
    raw.unlink()
    return make_disk(part, workshop, declared="qcow2", name=workshop.image, partitionless=False)
