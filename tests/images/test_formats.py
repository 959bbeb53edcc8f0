"""Every format of disks: what is let in, what is refused, and with which words."""

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
MOST_WORDS = 160
TABLE = """\
# Bad images

What is tried with images that lie, reach beyond themselves, or are damaged, and the first thing that each is told. None of them
gets into the store. Written by `pytest tests/images/test_formats.py --update-golden`; all reasons of each stand in
`tests/images/golden/refusals.txt`. Beside these, `tests/images/test_fuzz.py` tries mutated images.

| image | is told |
|---|---|
"""


@pytest.fixture
def workshop(tmp_path: Path) -> ImageContext:
    return ImageContext(BlobStore(tmp_path / "store"), "disk", ImageReporter())


def test_what_each_bad_image_is_told(workshop: ImageContext, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    """Nothing bad gets in, and people can tell why from the words alone."""
    lines, rows = [], []
    for bad in bad_disks(tmp_path):
        file = tmp_path / "bad"
        file.write_bytes(bad.content)
        declared = f" (declared {bad.declared})" if bad.declared else ""
        told = _told(workshop, file, bad.declared)
        lines.append(f"{bad.name}{declared}\n{told}")
        rows.append(f"| {bad.name}{declared} | {_first(told)} |\n")
    golden(HERE / "golden" / "refusals.txt", "".join(lines).replace(str(tmp_path), "<here>"))
    golden(HERE.parents[1] / "docs" / "bad-images.md", TABLE + "".join(rows).replace(str(tmp_path), "&lt;here&gt;"))
    assert not [line for line in lines if "LET IN" in line]
    assert list(workshop.store.incoming.iterdir()) == []
    assert not (workshop.store.directory / "sha256").exists(), "none of them was published"


def _first(told: str) -> str:
    """The first reason, as a cell of a table."""
    words = told.splitlines()[0].strip()
    return (words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…").replace("|", "&#124;")


def _told(workshop: ImageContext, file: Path, declared: str | None) -> str:
    try:
        make_disk(file, workshop, DiskOptions(declared=declared), name="bad")
    except ImageError as error:
        return "".join(f"    {problem.detail}\n" for problem in error.problems)
    return "    LET IN\n"


def test_what_qemu_img_makes_is_let_in_and_both_see_the_same(tmp_path: Path) -> None:
    for number, (format_, content) in enumerate(good_disks(tmp_path)):
        found = inspect_any(RandomAccessBytes(content), format_)
        file = tmp_path / f"good{number}"
        file.write_bytes(content)
        qemu_img.verify_format(file, found.format, found.virtual_size_bytes)
        assert found.format == format_


def test_all_formats_become_one_disk(workshop: ImageContext, tmp_path: Path) -> None:
    """The same content gives the same digest, whatever it came in; and it is the content."""
    (tmp_path / "raw").write_bytes(bootable())
    digests = set()
    for format_, content in good_disks(tmp_path):
        if format_ in {"raw", "qcow2"}:
            continue
        file = tmp_path / f"disk.{format_}"
        file.write_bytes(content)
        blob, made, size = make_disk(file, workshop, DiskOptions(declared=format_), name="disk")
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
            str(workshop.store.path(blob.sha256)),
        ]
        assert subprocess.run(command, check=False, capture_output=True).returncode == 0, format_
    assert len(digests) == 1


def test_what_qemu_img_sees_otherwise_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "disk.qcow2"
    file.write_bytes(dict(good_disks(tmp_path))["qcow2"])
    with pytest.raises(ImageError, match="qemu-img says: it sees 2097152 bytes"):
        qemu_img.verify_format(file, "qcow2", 4096)
    with pytest.raises(ImageError, match="cannot be looked at by qemu-img"):
        qemu_img.verify_format(file, "vdi", 4096)


def test_a_damaged_qcow2_is_refused_by_the_second_gate(workshop: ImageContext, tmp_path: Path) -> None:
    """Its header is sound, so only qemu-img's check of the tables finds it."""
    content = bytearray(dict(good_disks(tmp_path))["qcow2"])
    first_table = int.from_bytes(content[40:48])
    content[first_table : first_table + 8] = (1 << 63 | 2**40).to_bytes(8)
    file = tmp_path / "disk.qcow2"
    file.write_bytes(content)
    assert inspect_any(RandomAccessBytes(bytes(content)), "qcow2") == DiskInfo(format="qcow2", virtual_size_bytes=2 * 2**20)
    with pytest.raises(ImageError, match="cannot be checked by qemu-img"):
        make_disk(file, workshop, name="disk")
