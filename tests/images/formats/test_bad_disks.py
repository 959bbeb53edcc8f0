"""Every disk format: images that are accepted, and images that are refused, with their reasons."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.formats import qemu_img
from pragmaspec.images.formats.inspect import DiskInfo, inspect_any
from pragmaspec.images.formats.random_access import RandomAccessBytes
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.conversion_cache import DiskOptions
from tests.images.bad_disks import bad_disks, bootable, good_disks

HERE = Path(__file__).parent
MAX_CELL = 160
TABLE = """\
# Bad images

Images that are damaged, have a false format, or could reach other files, and the first reason of the refusal of each. None of
them gets into the store. Written by `pytest tests/images/formats/test_bad_disks.py --update-golden`; all reasons are in
`tests/images/formats/golden/refusals.txt`. Mutated images are tested by `tests/images/formats/test_fuzz.py`.

| image | first reason |
|---|---|
"""


@pytest.fixture
def context(tmp_path: Path) -> ImageContext:
    return ImageContext(BlobStore(tmp_path / "store"), "disk", ImageReporter())


def test_each_bad_image_is_refused(context: ImageContext, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    """Nothing bad is accepted, and every reason is reviewed in a golden file."""
    lines, rows = [], []
    for bad in bad_disks(tmp_path):
        file = tmp_path / "bad"
        file.write_bytes(bad.content)
        declared = f" (declared {bad.declared})" if bad.declared else ""
        told = _reasons(context, file, bad.declared)
        lines.append(f"{bad.name}{declared}\n{told}")
        rows.append(f"| {bad.name}{declared} | {_first(told)} |\n")
    golden(HERE / "golden" / "refusals.txt", "".join(lines).replace(str(tmp_path), "<here>"))
    golden(HERE.parents[2] / "docs" / "bad-images.md", TABLE + "".join(rows).replace(str(tmp_path), "&lt;here&gt;"))
    assert not [line for line in lines if "ACCEPTED" in line]
    assert list(context.store.incoming.iterdir()) == []
    assert not (context.store.directory / "sha256").exists(), "none of them was published"


def _first(told: str) -> str:
    """The first reason, as a cell of a table."""
    words = told.splitlines()[0].strip()
    return (words if len(words) <= MAX_CELL else f"{words[:MAX_CELL]}…").replace("|", "&#124;")


def _reasons(context: ImageContext, file: Path, declared: str | None) -> str:
    try:
        make_disk(file, context, DiskOptions(declared=declared), name="bad")
    except ImageError as error:
        return "".join(f"    {problem.detail}\n" for problem in error.problems)
    return "    ACCEPTED\n"


def test_images_by_qemu_img_are_inspected_as_qemu_img_does(tmp_path: Path) -> None:
    for number, (format_, content) in enumerate(good_disks(tmp_path)):
        found = inspect_any(RandomAccessBytes(content), format_)
        file = tmp_path / f"good{number}"
        file.write_bytes(content)
        qemu_img.verify_format(file, found.format, found.virtual_size_bytes)
        assert found.format == format_


def test_the_same_disk_in_any_format_has_one_digest(context: ImageContext, tmp_path: Path) -> None:
    """The same content in any format has the same digest, and is preserved."""
    (tmp_path / "raw").write_bytes(bootable())
    digests = set()
    for format_, content in good_disks(tmp_path):
        if format_ in {"raw", "qcow2"}:
            continue
        file = tmp_path / f"disk.{format_}"
        file.write_bytes(content)
        blob, made, size = make_disk(file, context, DiskOptions(declared=format_), name="disk")
        assert made == "qcow2"
        if size == len(bootable()):  # VHD by geometry has a few sectors more
            digests.add(blob.sha256)
        command = [
            "qemu-img",
            "compare",
            "-f",
            "raw",
            "-F",
            "qcow2",
            str(tmp_path / "raw"),
            str(context.store.path(blob.sha256)),
        ]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0, format_
    assert len(digests) == 1


def test_disagreement_with_qemu_img_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "disk.qcow2"
    file.write_bytes(dict(good_disks(tmp_path))["qcow2"])
    with pytest.raises(ImageError, match="qemu-img reports 2097152 bytes"):
        qemu_img.verify_format(file, "qcow2", 4096)
    with pytest.raises(ImageError, match="cannot be read by qemu-img"):
        qemu_img.verify_format(file, "vdi", 4096)


def test_damaged_qcow2_tables_are_found_by_qemu_img(context: ImageContext, tmp_path: Path) -> None:
    """Its header is valid, so only qemu-img's check of the tables finds the damage."""
    content = bytearray(dict(good_disks(tmp_path))["qcow2"])
    first_table = int.from_bytes(content[40:48])
    content[first_table : first_table + 8] = (1 << 63 | 2**40).to_bytes(8)
    file = tmp_path / "disk.qcow2"
    file.write_bytes(content)
    assert inspect_any(RandomAccessBytes(bytes(content)), "qcow2") == DiskInfo(format="qcow2", virtual_size_bytes=2 * 2**20)
    with pytest.raises(ImageError, match="cannot be checked by qemu-img"):
        make_disk(file, context, name="disk")
