import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.clonezilla.directory_names import stored_partitions


@pytest.mark.parametrize(
    ("names", "tool", "compression"),
    [
        (["sda1.ext4-ptcl-img.gz.aa", "sda1.ext4-ptcl-img.gz.ab"], "partclone", "gz"),
        (["sda1.ext4-ptcl-img.zst"], "partclone", "zst"),
        (["sda1.xfs-ptcl-img.uncomp.aaa", "sda1.xfs-ptcl-img.uncomp.aab"], "partclone", "uncomp"),
        (["sda1.dd-ptcl-img.lz4"], "dd", "lz4"),
        (["sda1.dd-img.aa"], "dd", ""),
        (["sda1.ntfs-img.aa", "sda1.ntfs-img.ab"], "ntfsclone", ""),
        (["sda1.fat16-img"], "partclone", ""),
        (["sda1.000", "sda1.001"], "partimage", ""),
        (["sda1.aa"], "partimage", ""),
        (["sda1"], "partimage", ""),
    ],
)
def test_tool_and_compression_are_recognised_by_file_name(names: list[str], tool: str, compression: str) -> None:
    others = ["sda1.dd-img.info", "sda1.info", "sda-mbr", "sda1-ebr", "sda11.ext4-ptcl-img.gz.aa", "parts", "sda-pt.sf"]
    (found,) = stored_partitions([*reversed(names), *others], ["sda1"])
    assert (found.tool, found.compression, list(found.files)) == (tool, compression, names)


def test_device_names_may_contain_slashes_and_digits() -> None:
    names = ["nvme0n1p1.vfat-ptcl-img.gz", "cciss-c0d0p2.ext3-ptcl-img.gz.aa"]
    found = stored_partitions(names, ["nvme0n1p1", "cciss-c0d0p2"])
    assert [one.partition for one in found] == ["nvme0n1p1", "cciss-c0d0p2"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sda1.ext4-ptcl-img.gz.ab"], r"gz\.aa does not exist"),
        (["sda1.ext4-ptcl-img.gz.aa", "sda1.ext4-ptcl-img.gz.ac"], r"gz\.ab does not exist"),
        (["sda1.001"], r"sda1\.000 does not exist"),
        (["sda1.dd-img", "sda1.ext4-ptcl-img.gz"], "stored twice"),
        (["sda1.ext4-ptcl-img.gz", "sda1.ext4-ptcl-img.gz.aa"], "stored twice"),
    ],
)
def test_missing_volumes_and_duplicate_contents_are_rejected(names: list[str], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        stored_partitions(names, ["sda1"])


def test_volumes_are_numbered_as_split_does() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    suffixes = [first + second for first in letters for second in letters]
    names = [f"sda1.ext4-ptcl-img.gz.{suffix}" for suffix in suffixes]
    assert stored_partitions(names, ["sda1"])[0].files == tuple(names)
    with pytest.raises(ImageError, match=r"\.gz\.dk does not exist"):
        stored_partitions([name for name in names if not name.endswith(".dk")], ["sda1"])
