from collections.abc import Callable
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.clonezilla.directory import read_directory
from tests.images.clonezilla import real
from tests.images.clonezilla.conftest import readable


def test_the_metadata_of_a_directory_is_read(saved: Path, mbr_disk: Path) -> None:
    found = read_directory(readable(saved))
    assert (found.disk, found.size_bytes) == ("vda", mbr_disk.stat().st_size)
    assert [one.partition for one in found.stored] == ["vda1", "vda3", "vda5"]
    assert [(swap.partition, swap.uuid, swap.label) for swap in found.swaps] == [("vda2", real.SWAP_UUID, "spare")]
    assert found.extent("vda1") == (2**20, 32 * 2**20)
    assert found.extended_code == (("vda4", "vda4-ebr"),)


def remove(*names: str) -> Callable[[Path], None]:
    def change(image: Path) -> None:
        for pattern in names:
            for file in list(image.glob(pattern)):
                file.unlink()

    return change


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda image: (image / name).write_text(text) and None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("*"), "not a Clonezilla directory"),
        (remove("vda-pt.sf"), r"vda-pt\.sf does not exist"),
        (remove("vda1.*"), "no file with the content of vda1"),
        (remove("vda1.*.aa"), r"gz\.aa does not exist"),
        (write("disk", "vda vdb"), r"2 disks \(vda, vdb\)"),
        (write("disk", "../etc"), "invalid device names"),
        (write("parts", "vda1 vda3 vda5 vda9"), "parts names vda9, which is not in the partition table"),
        (write("lvm_vg_dev.list", "vg0 /dev/vda3 uuid\n"), "LVM"),
        (write("ecryptfs.info", "x"), "encrypted"),
        (write("dmraid.table", "# dmraid: dm\ndm-0: dm-1\n"), "RAID"),
        (write("vda-pt.parted", "Disk /dev/vda: 163840s\nSector size (logical/physical): 4096B/4096B\n"), "4096 bytes"),
        (write("vda-pt.parted", "Disk /dev/vda: 100000s\n"), "partitions end at"),
        (write("vda-pt.parted", "Disk /dev/vda: 99999999999s\n"), "larger than 2 TiB"),
        (write("vda-pt.sf", "label: dos\nunit: sectors\n"), r"vda-pt\.sf is empty"),
        (write("swappt-vda2.info", 'UUID="; rm -rf /"\n'), "UUID of the swap area"),
        (write("swappt-vda9.info", 'UUID=""\n'), "vda9 is not in the partition table"),
    ],
)
def test_an_unsupported_or_inconsistent_directory_is_rejected(
    saved: Path, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    image = real.copy(saved, tmp_path / "image")
    change(image)
    with pytest.raises(ImageError, match=message) as error:
        read_directory(readable(image))
    assert all(problem.detail.endswith(".") for problem in error.value.problems)


def test_all_problems_are_reported_at_once(saved: Path, tmp_path: Path) -> None:
    image = real.copy(saved, tmp_path / "image")
    remove("vda1.*", "vda3.*")(image)
    with pytest.raises(ImageError) as error:
        read_directory(readable(image))
    assert len(error.value.problems) == 2


def test_without_parted_the_size_is_derived_from_geometry_or_partitions(saved: Path, tmp_path: Path) -> None:
    image = real.copy(saved, tmp_path / "image")
    remove("vda-pt.parted")(image)
    assert read_directory(readable(image)).size_bytes == 80 * 2**20, "where the extended partition ends"
    write("vda-chs.sf", "cylinders=12\nheads=255\nsectors=63\n")(image)
    assert read_directory(readable(image)).size_bytes == 12 * 255 * 63 * 512
