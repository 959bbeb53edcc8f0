import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.clonezilla.partition_table import parse_gpt, parse_sfdisk_dump, sfdisk_script
from pragmaspec.images.clonezilla.restore import swap_page
from tests.images.clonezilla import real

DUMP = """\
label: dos
label-id: 0x12345678
device: /dev/sda
unit: sectors

/dev/sda1 : start=        2048, size=      204800, type=83, bootable
/dev/sda2 : start=      206848, size=       40960, type=82
"""


def dump_of(disk: Path) -> str:
    return real.shell('sfdisk -d "$disk"', disk=disk).replace(f"{disk}", "/dev/vda")


@pytest.mark.parametrize("kind", ["mbr_disk", "gpt_disk"])
def test_a_table_survives_being_written_and_read(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    disk: Path = request.getfixturevalue(kind)
    size = disk.stat().st_size
    table = parse_sfdisk_dump(dump_of(disk), "vda")
    again = tmp_path / "disk"
    real.shell(
        'truncate -s "$size" "$disk"; sfdisk -q "$disk" <<< "$text"', size=size, disk=again, text=sfdisk_script(table, size)
    )
    assert parse_sfdisk_dump(dump_of(again), "vda") == table


def test_on_a_larger_disk_all_of_it_becomes_usable(gpt_disk: Path) -> None:
    table, size = parse_sfdisk_dump(dump_of(gpt_disk), "vda"), gpt_disk.stat().st_size
    assert f"last-lba: {table.last_lba}" in sfdisk_script(table, size)
    assert "last-lba" not in sfdisk_script(table, 2 * size)


def test_a_missing_disk_identifier_is_derived_reproducibly() -> None:
    text = sfdisk_script(
        parse_sfdisk_dump("label: gpt\n\n/dev/sda1 : start=2048, size=8, type=" + "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "sda"),
        2**26,
    )
    assert text == sfdisk_script(parse_sfdisk_dump(text.replace("disk1", "/dev/sda1"), "sda"), 2**26)
    assert "label-id: 993C7105-50FA-535C-98AF-8EEDCC05BC91" in text
    assert "uuid=4025C9AE-0219-55F4-99D1-12AADD6A7C7B" in text
    two = parse_sfdisk_dump(
        'label: gpt\n\n/dev/sda1 : start=2048, size=8, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="a b"\n'
        "/dev/sda2 : start=4096, size=8, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4\n",
        "sda",
    )
    assert "label-id: E8F03C49-CC81-5E6B-9286-1CF340AF8B99" in sfdisk_script(two, 2**26)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("label: dos", "label: bsd", "'bsd'"),
        ("unit: sectors", "unit: cylinders", "another size"),
        ("unit: sectors", "sector-size: 4096", "another size"),
        ("start=        2048", "start=  x", "not a number of sectors"),
        ("206848", "206000", "sda1 and sda2 overlap"),
        ("/dev/sda2", "/dev/sdb2", "sdb2 is not a partition of sda"),
        ("type=82", "type=zz", "the type is unknown"),
        ("type=82", "type=82\n!rm -rf /", "neither a header nor a partition"),
        ("unit: sectors", "first-lba: x", "first-lba is not a number: 'x'"),
        ("0x12345678", "0x12345678; rm", "is not a disk identifier"),
    ],
)
def test_an_invalid_dump_is_rejected(old: str, new: str, words: str) -> None:
    assert parse_sfdisk_dump(DUMP, "sda").partitions[0].bootable
    with pytest.raises(ImageError, match=words):
        parse_sfdisk_dump(DUMP.replace(old, new), "sda")


@given(st.text(max_size=400))
def test_any_text_is_either_parsed_or_rejected(text: str) -> None:
    for whole in (text, DUMP + text, text + DUMP):
        with contextlib.suppress(ImageError):
            parse_sfdisk_dump(whole, "sda")


def test_a_gpt_is_parsed_from_its_sectors_as_from_its_dump(gpt_disk: Path) -> None:
    sectors = gpt_disk.read_bytes()[: 34 * 512]
    read, dumped = parse_gpt(sectors, "vda"), parse_sfdisk_dump(dump_of(gpt_disk), "vda")
    assert [(one.device, one.start, one.size, one.kind, one.uuid) for one in read.partitions] == [
        (one.device, one.start, one.size, one.kind, one.uuid) for one in dumped.partitions
    ]
    assert (read.label_id, read.first_lba, read.last_lba) == (dumped.label_id, dumped.first_lba, dumped.last_lba)
    assert read.partitions[1].attrs == '"LegacyBIOSBootable GUID:50"'
    assert read.partitions[1].name == '"root, _x"'


@pytest.mark.parametrize("at", [512, 530, 600, 1024, 1100])
def test_a_damaged_gpt_is_rejected(gpt_disk: Path, at: int) -> None:
    sectors = bytearray(gpt_disk.read_bytes()[: 34 * 512])
    sectors[at] ^= 1
    with pytest.raises(ImageError, match="gpt-1st"):
        parse_gpt(bytes(sectors), "vda")
    with pytest.raises(ImageError):
        parse_gpt(bytes(sectors[:900]), "vda")


@pytest.mark.parametrize(("uuid", "label"), [(real.SWAP_UUID, ""), (real.SWAP_UUID, "spare")])
def test_a_swap_page_equals_that_of_mkswap(tmp_path: Path, uuid: str, label: str) -> None:
    file = tmp_path / "swap"
    named = f"-L {label}" if label else ""
    real.shell(f'umask 077; truncate -s 10M "$file"; mkswap -q -U {uuid} {named} "$file"', file=file)
    assert file.read_bytes()[:4096] == swap_page(10 * 2**20, uuid, label)
    assert swap_page(2**20, "", "x") == swap_page(2**20, "", "x") != swap_page(2**20, "", "y")
