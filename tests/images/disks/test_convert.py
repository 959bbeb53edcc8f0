import subprocess
from pathlib import Path

import pytest

from pragmaspec.errors import UsageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.convert import ConversionTarget, conversion_target, convert_disk
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.conversion_cache import DiskOptions
from tests.images.bad_disks import bootable


@pytest.mark.parametrize(
    ("name", "said", "format_", "compression"),
    [
        ("disk.qcow2", None, "qcow2", ""),
        ("disk.img", None, "raw", ""),
        ("disk.VMDK", None, "vmdk", ""),
        ("disk.vhd.gz", None, "vhd", "gz"),
        ("disk.raw.zst", None, "raw", "zst"),
        ("disk", "vhdx", "vhdx", ""),
        ("disk.xz", "raw", "raw", "xz"),
        ("disk.qcow2", "vdi", "vdi", ""),
    ],
)
def test_the_suffix_determines_format_and_compression(name: str, said: str | None, format_: str, compression: str) -> None:
    assert conversion_target(Path(name), said) == ConversionTarget(file=name, format=format_, compression=compression)


@pytest.mark.parametrize("name", ["disk", "disk.gz", "disk.iso"])
def test_a_name_without_a_format_needs_an_option(name: str) -> None:
    with pytest.raises(UsageError, match="--to FORMAT"):
        conversion_target(Path(name), None)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="Disks cannot be written as qed"):
        conversion_target(Path("disk.qcow2"), "qed")


@pytest.mark.parametrize(
    "name", ["a.raw", "a.qcow2", "a.vmdk", "a.vdi", "a.vhd", "a.vhdx", "a.raw.gz", "a.raw.xz", "a.qcow2.bz2", "a.vhd.zst"]
)
@pytest.mark.parametrize("source", ["raw", "qcow2"])
def test_any_conversion_can_be_reversed(tmp_path: Path, name: str, source: str) -> None:
    """Whatever is written is accepted, and has the same content; the same disk gives the same qcow2."""
    context = ImageContext(BlobStore(tmp_path / "store"), "disk", ImageReporter())
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bootable())
    disk = raw
    if source == "qcow2":
        disk = tmp_path / "disk.qcow2"
        convert_disk(raw, "raw", len(bootable()), conversion_target(disk, None), lambda *_: None)
        assert make_disk(disk, context, name="disk").format == "qcow2"
    target = conversion_target(tmp_path / name, None)
    convert_disk(disk, source, len(bootable()), target, lambda *_: None)
    made = make_disk(Path(target.file), context, DiskOptions(declared=target.format), name=name)
    assert made.virtual_size_bytes == len(bootable())
    command = ["qemu-img", "compare", "-f", "raw", "-F", made.format, str(raw), str(context.store.path(made.blob.sha256))]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"store", "disk.raw", "disk.qcow2", name}, "nothing is left beside it"


def test_holes_are_preserved_and_compression_is_deterministic(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bootable())
    with raw.open("r+b") as file:
        file.truncate(32 * 2**20)
    convert_disk(raw, "raw", 32 * 2**20, conversion_target(tmp_path / "copy.raw", None), lambda *_: None)
    assert (tmp_path / "copy.raw").stat().st_blocks * 512 < 4 * 2**20
    for name in ("one.raw.gz", "two.raw.gz"):
        convert_disk(raw, "raw", 32 * 2**20, conversion_target(tmp_path / name, None), lambda *_: None)
    assert (tmp_path / "one.raw.gz").read_bytes() == (tmp_path / "two.raw.gz").read_bytes()


def test_a_missing_target_folder_is_reported(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bootable())
    with pytest.raises(UsageError, match="not writable"):
        convert_disk(raw, "raw", len(bootable()), conversion_target(tmp_path / "absent" / "disk.raw", None), lambda *_: None)
