"""Any bytes give a result or an ImageError, quickly, with little memory; and accepted images reach no other file.

``FUZZ_EXAMPLES=20000 pytest tests/images/formats/test_fuzz.py`` tests more than the usual run.
"""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.archives.layers import limit_bytes, unwrap
from pragmaspec.images.formats import qemu_img
from pragmaspec.images.formats.inspect import DiskInfo, inspect_any
from pragmaspec.images.formats.random_access import RandomAccessBytes, open_regular
from pragmaspec.images.formats.vhdx import _crc32c
from tests.images.bad_disks import archive, as_vmware_writes_it, bootable, converted, tar, zstd

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))
MAX_S, MAX_KIB = 1.0, 256 * 1024  # seconds of the processor: others may keep it busy
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
VHDX_PLACES = (0, 0x10000, 0x20000, 0x30000, 0x40000, 0x200000, 0x210000, 0x300000, 0x310000)
Fix = Callable[[bytearray], None]


class CountingBytes(RandomAccessBytes):
    """Counts the bytes that are read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked = 0

    def read_at(self, offset: int, length: int) -> bytes:
        assert length <= 2**20, "no single read is large"
        assert offset >= 0
        self.asked += length
        return super().read_at(offset, length)


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("disks")
    return {
        "raw": bootable(),
        "qcow2": converted(directory, "qcow2"),
        "vmdk": converted(directory, "vmdk"),
        "stream": as_vmware_writes_it(converted(directory, "vmdk", "subformat=streamOptimized")),
        "vdi": converted(directory, "vdi"),
        "vhd": converted(directory, "vpc", "force_size=on"),
        "fixed": converted(directory, "vpc", "subformat=fixed,force_size=on"),
        "vhdx": converted(directory, "vhdx", "log_size=1M,block_size=1M"),
    }


def places(kind: str, size: int) -> tuple[tuple[int, int], ...]:
    """First and last offset of each part of a file that has metadata of its format."""
    if kind == "vhdx":
        return tuple((at, at + 120) for at in VHDX_PLACES if at + 120 < size)
    if kind in {"vhd", "fixed"}:
        return ((0, 90), (512, 1100), (size - 512, size - 420))
    if kind in {"vmdk", "stream"}:
        return ((0, 80), (512, 1000), (size - 1536, size - 512))
    return ((60, 500),) if kind == "vdi" else ((0, 600), (size - 600, size - 1))


NUMBERS = st.sampled_from(
    [struct.pack(f"{order}{size}", value & (2 ** (8 * struct.calcsize(size)) - 1))
     for order in "<>" for size in "BHIQ" for value in (0, 1, 2, 3, 0x7F, 2**15, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)]
)  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn, kind: str, size: int) -> list[tuple[int, bytes]]:
    spots = st.one_of(*(st.integers(first, last) for first, last in places(kind, size)))
    return draw(st.lists(st.tuples(spots, st.one_of(st.binary(min_size=1, max_size=8), NUMBERS)), min_size=1, max_size=5))


def mutated(content: bytes, changes: list[tuple[int, bytes]], fix: Fix | None) -> bytes:
    copy = bytearray(content)
    for offset, value in changes:
        copy[offset : offset + len(value)] = value
    copy = copy[: len(content)]
    if fix:
        fix(copy)
    return bytes(copy)


def vhd_sums(copy: bytearray) -> None:
    """Correct checksums, and the same first and last sector, so that what follows them is examined."""
    copy[-448:-444] = bytes(4)
    copy[-448:-444] = (~sum(copy[-512:]) & 0xFFFFFFFF).to_bytes(4)
    if copy[:8] == b"conectix":
        copy[:512] = copy[-512:]
        copy[512 + 36 : 512 + 40] = bytes(4)
        copy[512 + 36 : 512 + 40] = (~sum(copy[512:1536]) & 0xFFFFFFFF).to_bytes(4)


def vhdx_sums(copy: bytearray) -> None:
    for at, length in ((0x10000, 4096), (0x20000, 4096), (0x30000, 65536)):
        if not any(copy[at : at + length]):
            continue
        copy[at + 4 : at + 8] = bytes(4)
        copy[at + 4 : at + 8] = _crc32c(bytes(copy[at : at + length])).to_bytes(4, "little")


STARTS = (b"", b"QFI\xfb\0\0\0\3", b"KDMV", b"vhdxfile", b"conectix", bytes(64) + b"\x7f\x10\xda\xbe")
FIXES: dict[str, Fix] = {"vhd": vhd_sums, "fixed": vhd_sums, "vhdx": vhdx_sums}
FORMATS = {"stream": "vmdk", "fixed": "vhd"}


def highest_kib() -> int:
    """Peak memory of this process since :func:`fresh_memory`."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


@pytest.fixture(autouse=True)
def fresh_memory() -> None:
    """Reset the peak, which other tests have raised."""
    Path("/proc/self/clear_refs").write_text("5")


def inspected(content: bytes, declared: str | None) -> DiskInfo | None:
    """Inspect within the limits of time and memory."""
    before_kib = highest_kib()
    window, begun = CountingBytes(content), time.process_time()
    try:
        return inspect_any(window, declared)
    except ImageError as error:
        return None if all(problem.detail for problem in error.problems) else pytest.fail("refused without a reason")
    finally:
        assert time.process_time() - begun < MAX_S
        assert window.asked < 8 * 2**20
        assert highest_kib() - before_kib < MAX_KIB


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk", "stream", "vdi", "vhd", "fixed", "vhdx"])
def test_qemu_img_sees_no_other_file_in_accepted_mutated_disks(disks: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    """qemu-img sees the same size and no other file in accepted images, or refuses them, which is why it is asked too."""
    accepted = agreed = 0

    @FUZZ
    @given(data=st.data())
    def mutate(data: st.DataObject) -> None:
        nonlocal accepted, agreed
        changes = data.draw(mutations(kind, len(disks[kind])))
        content = mutated(disks[kind], changes, data.draw(st.sampled_from([FIXES.get(kind), None])))
        format_ = FORMATS.get(kind, kind)
        found = inspected(content, data.draw(st.sampled_from([None, format_])))
        if found is None or found.format == "raw":
            return
        accepted += 1
        file = tmp_path / "accepted"
        file.write_bytes(content)
        try:
            seen = qemu_img.info(file, found.format)
        except ImageError:
            return
        agreed += 1
        assert seen["virtual-size"] == found.virtual_size_bytes
        assert "backing-filename" not in seen
        assert "data-file" not in seen.get("format-specific", {}).get("data", {})
        assert [child["info"]["filename"] for child in seen.get("children", ())] in ([], [str(file)])

    mutate()
    print(f"{kind}: {accepted} accepted by us, {agreed} of them by qemu-img")  # noqa: T201 - the figures, with pytest -s


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk", "stream", "vdi", "vhd", "fixed", "vhdx"])
def test_a_truncated_disk_is_refused_in_any_format_with_a_header(disks: dict[str, bytes], kind: str) -> None:
    content = disks[kind]

    @FUZZ
    @given(st.one_of(st.integers(0, 2000), st.integers(0, len(content))), st.sampled_from([None, FORMATS.get(kind, kind)]))
    def cut(length: int, declared: str | None) -> None:
        found = inspected(content[:length], declared)
        if found is not None and found.format == "raw":
            assert found.virtual_size_bytes == length, "a truncated raw disk cannot be detected"

    cut()


@FUZZ
@given(st.binary(max_size=4096), st.sampled_from(STARTS), st.sampled_from([None, "raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"]))
def test_noise_is_never_accepted_as_a_structured_disk(noise: bytes, start: bytes, declared: str | None) -> None:
    found = inspected(start + noise, declared)
    assert found is None or found.format == "raw"


def packages() -> dict[str, bytes]:
    disk = bootable(2**20)[: 256 * 1024]
    sparse = io.BytesIO()
    with tarfile.open(fileobj=sparse, mode="w", format=tarfile.GNU_FORMAT) as file:
        header = tarfile.TarInfo("disk.raw")
        header.size, header.type = 1024, b"S"
        block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
        block[386 : 386 + 48] = b"%011o\0%011o\0%011o\0%011o\0" % (0, 512, 200 * 512, 512)
        block[483:495] = b"%011o\0" % (256 * 1024)
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        file.fileobj.write(bytes(block) + disk[:512] + b"d" * 512)  # type: ignore[union-attr]  # it has one
    return {
        "gz": gzip.compress(disk, mtime=0),
        "zst": zstd(disk),
        "bz2": bz2.compress(disk, 1),
        "xz": lzma.compress(disk, preset=0),
        "tar": tar([("./", b"5", b"", ""), ("disk.raw", b"0", disk, "")]),
        "sparse": sparse.getvalue(),
        "ova": tar([("a.ovf", b"0", b"<x/>", ""), ("a.vmdk", b"0", disk, "")]),
        "zip": archive({"disk.raw": disk}),
    }


PACKAGES = packages()


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_mutated_package_is_refused_or_unpacked(tmp_path: Path, kind: str) -> None:
    content = PACKAGES[kind]
    last = len(content) - 1
    ranges = [(0, min(600, last)), (max(0, last - 600), last), (0, last)]

    @FUZZ
    @given(st.lists(st.tuples(st.one_of(*(st.integers(*range_) for range_ in ranges)),
                              st.one_of(st.binary(min_size=1, max_size=12), NUMBERS)), max_size=5),
           st.none() | st.integers(0, len(content)))  # fmt: skip
    def mutate(changes: list[tuple[int, bytes]], length: int | None) -> None:
        file = tmp_path / "package"
        file.write_bytes(mutated(content, changes, None)[:length])
        begun = time.process_time()
        with open_regular(file) as window, suppress(ImageError):
            stream, _ = unwrap(window)
            for piece in limit_bytes(stream.rest(), 16 * 2**20):
                assert len(piece) <= 2 * 2**20
        assert time.process_time() - begun < MAX_S

    mutate()
