import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.clonezilla import tools
from pragmaspec.images.clonezilla.write import WriteOptions, write_clonezilla
from tests.images.clonezilla import real
from tests.images.clonezilla.conftest import restored


def save(file: Path, directory: Path, format_: str = "raw", **options: object) -> None:
    write_clonezilla(file, format_, directory, WriteOptions(**options), lambda *_: None)  # type: ignore[arg-type]  # tests only


@pytest.mark.parametrize("compression", sorted(tools.WRITABLE_COMPRESSIONS))
def test_a_written_directory_is_restored(gpt_disk: Path, tmp_path: Path, compression: str) -> None:
    save(gpt_disk, tmp_path / "image", compression=compression, volume_bytes=100_000)
    assert restored(tmp_path / "image", tmp_path / "raw").read_bytes() == gpt_disk.read_bytes()


def test_the_directory_may_be_a_relative_path(gpt_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(gpt_disk, Path("image"))
    assert restored(tmp_path / "image", tmp_path / "raw").read_bytes() == gpt_disk.read_bytes()


def test_a_qcow2_disk_with_an_mbr_is_written(mbr_disk: Path, tmp_path: Path) -> None:
    packed, image = tmp_path / "disk.qcow2", tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(mbr_disk), str(packed)], check=True)
    save(packed, image, "qcow2", disk="nvme0n1", volume_bytes=0)
    names = {file.name for file in image.iterdir()}
    assert {"nvme0n1p1.ext4-ptcl-img.gz", "nvme0n1p5.dd-img", "swappt-nvme0n1p2.info", "nvme0n1p4-ebr"} <= names
    assert not any(name.startswith(".") for name in names)
    assert restored(image, tmp_path / "raw").read_bytes() == mbr_disk.read_bytes()


def test_clonezillas_own_tools_restore_it(mbr_disk: Path, tmp_path: Path) -> None:
    """As Clonezilla restores: the table by sfdisk, a partition by its decompressor and partclone."""
    image = tmp_path / "image"
    save(mbr_disk, image, disk="vda", volume_bytes=1_000_000)
    assert (image / "parts").read_text() == "vda1 vda3 vda5\n"
    real.shell('cd "$image"; sha256sum --quiet -c SHA256SUMS', image=image)
    real.shell(
        'cd "$image"; truncate -s 80M "$raw"; sfdisk -q --force "$raw" < vda-pt.sf;'
        'cat vda1.ext4-ptcl-img.gz.* | gzip -dc | partclone.restore -C -q -f 0 -L /dev/null -s - -W -o "$part" >/dev/null 2>&1;'
        'cmp -n $((32<<20)) "$part" "$disk" 0 1048576',
        image=image, raw=tmp_path / "raw", part=tmp_path / "part", disk=mbr_disk,
    )  # fmt: skip
    assert real.partitions(tmp_path / "raw") == real.partitions(mbr_disk)


def test_an_existing_directory_is_not_overwritten(gpt_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    with pytest.raises(ImageError, match="already exists"):
        save(gpt_disk, tmp_path / "image")


def test_lvm_is_rejected_and_leaves_nothing(tmp_path: Path) -> None:
    disk = real.make_disk(tmp_path / "disk", "label: dos\nlabel-id: 0x1\nstart=2048, type=8e\n", {}, "8M")
    # A label and behind it a physical volume header without areas (lvm2's lib/format_text/layout.h, lib/misc/crc.c).
    body = struct.pack("<I8s32sQ", 32, b"LVM2 001", b"0123456789abcdefghijklmnopqrstuv", 7 << 20).ljust(492, b"\0")
    crc = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    with disk.open("r+b") as file:
        file.seek(2049 * 512)
        file.write(struct.pack("<8sQI", b"LABELONE", 1, crc) + body)
    with pytest.raises(ImageError, match="LVM"):
        save(disk, tmp_path / "image")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["disk"]


def test_a_kill_leaves_no_directory_under_its_final_name(mbr_disk: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pragmaspec.images.clonezilla.write import WriteOptions, write_clonezilla\n"
        "write_clonezilla(Path(sys.argv[1]), 'raw', Path(sys.argv[2]), WriteOptions(compression='xz'), lambda *_: None)"
    )
    image, part = tmp_path / "image", tmp_path / ".image.part"
    with subprocess.Popen([sys.executable, "-c", code, str(mbr_disk), str(image)], start_new_session=True) as process:
        limit = time.monotonic() + 60
        while not list(part.glob("*ptcl-img*")) and time.monotonic() < limit:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert not image.exists()
    save(mbr_disk, image)
    assert image.exists()
    assert not part.exists()
