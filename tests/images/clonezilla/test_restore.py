from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.clonezilla.directory import read_directory
from pragmaspec.images.clonezilla.restore import restore
from tests.images.clonezilla import real
from tests.images.clonezilla.conftest import readable, restored


def same(first: Path, second: Path) -> bool:
    return first.read_bytes() == second.read_bytes()


def test_a_disk_is_restored_byte_by_byte(mbr_disk: Path, saved: Path, tmp_path: Path) -> None:
    """Boot code, hidden data, MBR with a logical partition, ext4, swap, FAT, and bytes of no known file system."""
    raw = restored(saved, tmp_path / "raw")
    assert same(raw, mbr_disk)
    assert raw.stat().st_blocks * 512 < mbr_disk.stat().st_size // 2, "unused blocks are not written"


def test_a_gpt_is_restored_with_names_attributes_and_both_copies(gpt_disk: Path, tmp_path: Path) -> None:
    assert same(restored(real.clonezilla(gpt_disk, tmp_path / "image"), tmp_path / "raw"), gpt_disk)


@pytest.mark.parametrize("compression", sorted(real.PACKERS))
@pytest.mark.parametrize("volume", ["100K", "0"])
def test_every_compression_is_restored_split_and_whole(gpt_disk: Path, tmp_path: Path, compression: str, volume: str) -> None:
    assert same(restored(real.clonezilla(gpt_disk, tmp_path / "image", compression, volume), tmp_path / "raw"), gpt_disk)


def test_a_gpt_is_restored_from_its_sectors_if_sfdisk_did_not_support_it(gpt_disk: Path, tmp_path: Path) -> None:
    """Then only ``vda-gpt-1st`` has the partitions; the dump has the protective MBR."""
    image = real.clonezilla(gpt_disk, tmp_path / "image")
    (image / "vda-pt.sf").write_text(
        "# partition table of /dev/vda\nunit: sectors\n\n/dev/vda1 : start=        1, size=   131071, Id=ee\n"
        "/dev/vda2 : start=        0, size=        0, Id= 0\n"
    )
    raw = restored(image, tmp_path / "raw")
    # The name had a quotation mark, which is not carried over.
    assert list(real.partitions(raw).items()) == list(real.partitions(gpt_disk).items())
    assert raw.read_bytes()[4096 * 512 : -(34 * 512)] == gpt_disk.read_bytes()[4096 * 512 : -(34 * 512)]


def test_an_mbr_is_restored_from_the_dump_of_an_old_sfdisk(mbr_disk: Path, saved: Path, tmp_path: Path) -> None:
    image = real.copy(saved, tmp_path / "image")
    lines = [
        f"/dev/vda{number} : start={start:9}, size={size:9}, Id={kind}{', bootable' if number == 1 else ''}"
        for (number, (start, size)), kind in zip(real.partitions(mbr_disk).items(), ["83", "82", " c", " 5", "83"], strict=True)
    ]
    (image / "vda-pt.sf").write_text("# partition table of /dev/vda\nunit: sectors\n\n" + "\n".join(lines) + "\n")
    (image / "vda-pt.parted").unlink()
    (image / "MD5SUMS").unlink()
    raw = restored(image, tmp_path / "raw")
    content = mbr_disk.read_bytes()
    assert raw.read_bytes() == content[: raw.stat().st_size], "the identity of the disk is in the boot sector"


def test_a_file_system_on_a_whole_disk_is_restored(tmp_path: Path) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    image.mkdir()
    real.shell(
        'truncate -s 8M "$disk"; mkfs.ext4 -q -F "$disk"; cd "$image"; echo vda > parts; echo vda > disk;'
        'partclone.ext4 -f 0 -L /dev/null -c -s "$disk" -o - 2>/dev/null | gzip > vda.ext4-ptcl-img.gz;'
        "echo 'Disk /dev/vda: 16384s' > vda-pt.parted",
        disk=disk,
        image=image,
    )
    assert same(restored(image, tmp_path / "raw"), disk)


def test_an_image_of_partimage_is_restored(tmp_path: Path) -> None:
    """Saved by partimage 0.6.9 from ext3 through a loop device, with Clonezilla's options, gzip and split."""
    data = Path(__file__).parent / "data" / "partimage"
    raw = restored(data, tmp_path / "raw")
    part = tmp_path / "part"
    part.write_bytes(raw.read_bytes()[2048 * 512 :])
    assert "clean" in real.shell('e2fsck -fn "$part" >/dev/null 2>&1 && echo clean', part=part)
    assert real.shell('debugfs -R "cat /hello" "$part" 2>/dev/null', part=part) == "hello from ext3\n"


def test_an_image_of_ntfsclone_is_restored(tmp_path: Path) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    make = "mkfs.ntfs -F -q -p 2048 -H 16 -S 63 -s 512 $part >/dev/null 2>&1"
    real.make_disk(disk, "label: dos\nlabel-id: 0x1\nstart=2048, type=7\n", {1: make}, size="9M")
    image.mkdir()
    real.shell(
        'cd "$image"; sfdisk -d "$disk" | sed "s|$disk|/dev/sda|" > sda-pt.sf; echo sda > disk; echo sda1 > parts;'
        'dd if="$disk" of="$part" bs=512 skip=2048 status=none; dd if="$disk" of=sda-mbr bs=512 count=1 status=none;'
        'ntfsclone -f --save-image --output - "$part" 2>/dev/null | gzip | split -b 5K - sda1.ntfs-img.;'
        "echo 'Disk /dev/sda: 18432s' > sda-pt.parted",
        disk=disk,
        image=image,
        part=tmp_path / "cut",
    )
    assert same(restored(image, tmp_path / "raw"), disk)


def damage(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0x40
    file.write_bytes(content)


@pytest.mark.parametrize("checksums", [("MD5SUMS", "md5sum"), ("SHA256SUMS", "sha256sum"), ("B2SUMS", "b2sum")])
def test_a_file_that_differs_from_its_checksum_is_rejected(saved: Path, tmp_path: Path, checksums: tuple[str, str]) -> None:
    image = real.copy(saved, tmp_path / "image")
    (image / "MD5SUMS").unlink()
    real.with_checksums(image, *checksums)
    with (image / "vda5.dd-img.aa").open("r+b") as volume:
        volume.seek(500_000)
        volume.write(b"changed")
    with pytest.raises(ImageError, match=r"vda5\.dd-img\.aa|crc error"):
        restored(image, tmp_path / "raw")


@pytest.mark.parametrize("at", [3, 100, 200_000, -5])
def test_a_flipped_bit_is_detected_without_checksums(saved: Path, tmp_path: Path, at: int) -> None:
    image = real.copy(saved, tmp_path / "image")
    (image / "MD5SUMS").unlink()
    last = sorted(image.glob("vda1.ext4-ptcl-img.gz.*"))[0 if at != -5 else -1]
    damage(last, at)
    with pytest.raises(ImageError):
        restored(image, tmp_path / "raw")


def test_a_large_file_that_is_not_an_image_is_rejected(saved: Path, tmp_path: Path) -> None:
    """The decompressor writes more than a pipe holds, and nothing reads it."""
    image = real.copy(saved, tmp_path / "image")
    (image / "MD5SUMS").unlink()
    for volume in image.glob("vda1.ext4-ptcl-img.gz.*"):
        volume.unlink()
    real.shell('head -c 2M /dev/urandom | gzip > "$file"', file=image / "vda1.ext4-ptcl-img.gz")
    with pytest.raises(ImageError, match="not an image of partclone"):
        restored(image, tmp_path / "raw")


def test_trailing_data_is_ignored_but_verified(saved: Path, tmp_path: Path, mbr_disk: Path) -> None:
    """partclone stops at the end of the image; the rest is read nevertheless, for the checksum at its end."""
    image = real.copy(saved, tmp_path / "image")
    (image / "MD5SUMS").unlink()
    real.shell(
        'cat "$image"/vda1.ext4-ptcl-img.gz.* > "$all"; rm "$image"/vda1.ext4-ptcl-img.gz.*;'
        '{ gzip -dc "$all"; head -c 1M /dev/zero; } | gzip > "$image/vda1.ext4-ptcl-img.gz"',
        image=image,
        all=tmp_path / "all",
    )
    assert same(restored(image, tmp_path / "raw"), mbr_disk)
    damage(image / "vda1.ext4-ptcl-img.gz", -5)
    with pytest.raises(ImageError, match=r"pigz|gzip"):
        restored(image, tmp_path / "raw2")


def test_a_truncated_volume_is_detected(saved: Path, tmp_path: Path) -> None:
    image = real.copy(saved, tmp_path / "image")
    (image / "MD5SUMS").unlink()
    last = max(image.glob("vda5.dd-img.*"))
    last.write_bytes(last.read_bytes()[:-1000])
    with pytest.raises(ImageError, match=r"gzip|pigz"):
        restored(image, tmp_path / "raw")


def test_content_larger_than_its_partition_is_rejected(saved: Path, tmp_path: Path) -> None:
    """It would overwrite the next partition."""
    image = real.copy(saved, tmp_path / "image")
    (image / "MD5SUMS").unlink()
    table = (image / "vda-pt.sf").read_text()
    (image / "vda-pt.sf").write_text(table.replace("65536", "65528"))
    with pytest.raises(ImageError, match="larger than the 33550336 bytes"):
        restored(image, tmp_path / "raw")
    (image / "vda-pt.sf").write_text(table.replace("10240", " 2048"))
    with pytest.raises(ImageError, match="vda5 is larger than the 1048576 bytes"):
        restored(image, tmp_path / "raw2")


def test_a_decompression_bomb_stops_at_the_end_of_its_partition(saved: Path, tmp_path: Path) -> None:
    image = real.copy(saved, tmp_path / "image")
    (image / "MD5SUMS").unlink()
    for volume in image.glob("vda5.dd-img.*"):
        volume.unlink()
    real.shell('head -c 200M /dev/zero | gzip > "$file"', file=image / "vda5.dd-img")
    with pytest.raises(ImageError, match="larger than the 5242880 bytes"):
        restored(image, tmp_path / "raw")


def test_free_space_is_checked_before_restoring(saved: Path, tmp_path: Path) -> None:
    checked: list[int] = []
    folder = readable(saved)

    def full(size_bytes: int) -> None:
        checked.append(size_bytes)
        raise ImageError("no space")

    with pytest.raises(ImageError, match="no space"):
        restore(read_directory(folder), folder, tmp_path / "raw", lambda *_: None, full)
    assert 3_000_000 < checked[0] < 32 * 2**20


def test_progress_includes_partition_and_volume(saved: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int | None, int | None]] = []
    folder = readable(saved)
    restore(read_directory(folder), folder, tmp_path / "raw", lambda *step: steps.append(step))
    assert ("restoring vda1, volume 1 of 3", 2**20, 2**20) in steps
