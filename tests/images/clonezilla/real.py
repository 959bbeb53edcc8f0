"""Disks and Clonezilla directories made with the tools that Clonezilla uses, independently of pragmaspec."""

import os
import shutil
import subprocess
from pathlib import Path

SECTOR = 512
SWAP_UUID = "11111111-2222-3333-4444-555555555555"
PATH = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C"}
MBR = """\
label: dos
label-id: 0x12345678
start=2048, size=65536, type=83, bootable
start=67584, size=20480, type=82
start=88064, size=32768, type=c
start=120832, type=5
start=122880, size=10240, type=83
"""
GPT = """\
label: gpt
label-id: 4DC863BA-E6C1-9D4F-AAC0-A1C0B197DD84
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, uuid=77536A17-9433-0F48-9FBC-E1E4FE220A48
start=4096, size=65536, type=L, uuid=0354C7A2-46C6-3B44-BAFC-8D9A8EB9F4CC, name="root, \\x22x", attrs="LegacyBIOSBootable GUID:50"
start=69632, size=20480, type=S, uuid=34545E68-F27E-7C40-9F80-41E5B34B3CA9
"""
PACKERS = {
    "gz": "gzip -c --fast", "zst": "zstd -cq", "xz": "xz -c", "lz4": "lz4 -cq", "bz2": "bzip2 -c", "lzo": "lzop -c",
    "lzma": "xz --format=lzma -c", "lzip": "lzip -c", "uncomp": "cat",
}  # fmt: skip


def shell(script: str, **variables: object) -> str:
    """Run a bash script, all parts of which must succeed, and return its output."""
    environment = {**PATH, **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def partitions(disk: Path) -> dict[int, tuple[int, int]]:
    """Start and length of each partition in sectors, by number."""
    found = {}
    for line in shell('sfdisk -d "$disk"', disk=disk).splitlines():
        if line.startswith(str(disk)):
            name, _, rest = line.partition(":")
            fields = dict(one.strip().split("=", 1) for one in rest.split(",") if "=" in one)
            found[int(name.strip().removeprefix(str(disk)).lstrip("p"))] = (int(fields["start"]), int(fields["size"]))
    return found


def make_disk(file: Path, table: str, contents: dict[int, str], size: str = "80M") -> Path:
    """Create a raw disk. ``contents``: a script per partition that fills the file ``$part``."""
    shell('truncate -s "$size" "$file"; sfdisk -q "$file" <<< "$table"', size=size, file=file, table=table)
    for number, script in contents.items():
        start, length = partitions(file)[number]
        part = file.with_name("part")
        part.unlink(missing_ok=True)
        with part.open("wb") as stream:
            stream.truncate(length * SECTOR)
        shell(f'umask 077; {script}; dd if="$part" of="$file" bs=512 seek="$start" conv=notrunc,sparse status=none',
              part=part, file=file, start=start)  # fmt: skip
    return file


def mbr_disk(file: Path) -> Path:
    """Boot code, hidden data, ext4 with files, swap, FAT, and a logical partition of random bytes."""
    tree = file.with_name("tree")
    tree.mkdir()
    (tree / "random").write_bytes(os.urandom(3_000_000))
    (tree / "hello").write_text("hello\n")
    make_disk(
        file,
        MBR,
        {
            1: f"mkfs.ext4 -q -F -d {tree} $part",
            2: f"chmod 600 $part; mkswap -q -U {SWAP_UUID} -L spare $part",
            3: "mkfs.vfat -n ESP $part >/dev/null",
            5: "head -c 2000000 /dev/urandom | dd of=$part conv=notrunc status=none",
        },
    )
    with file.open("r+b") as stream:
        stream.write(os.urandom(440))
        stream.seek(SECTOR)
        stream.write(os.urandom(62 * SECTOR))
    return file


def gpt_disk(file: Path) -> Path:
    """A GPT with names and attributes: a boot loader's partition, ext4, swap."""
    make_disk(
        file,
        GPT,
        {
            1: "head -c 250000 /dev/urandom | dd of=$part conv=notrunc status=none",
            2: "mkfs.ext4 -q -F $part",
            3: f"chmod 600 $part; mkswap -q -U {SWAP_UUID} $part",
        },
        size="64M",
    )
    with file.open("r+b") as stream:
        stream.write(os.urandom(440))
    return file


def clonezilla(disk: Path, directory: Path, compression: str = "gz", volume: str = "1M") -> Path:
    """Save ``disk`` as /dev/vda with the commands of Clonezilla's ``savedisk``."""
    directory.mkdir()
    shell(
        """
        cd "$directory"
        sfdisk -d "$disk" | sed "s|^$disk p*|/dev/vda|; s|$disk|/dev/vda|; s|^/dev/vdap|/dev/vda|" > vda-pt.sf
        kind=$(sfdisk -d "$disk" | sed -n 's/^label: //p'); test "$kind" = gpt || kind=msdos
        printf 'Model: Virtio Block Device (virtblk)\\nDisk /dev/vda: %ss\\nSector size (logical/physical): 512B/512B\\n' \
            "$(( $(stat -c %s "$disk") / 512 ))" > vda-pt.parted
        printf 'Partition Table: %s\\nDisk Flags: \\n' "$kind" >> vda-pt.parted
        dd if="$disk" of=vda-mbr bs=512 count=1 status=none
        if test "$kind" = gpt; then dd if="$disk" of=vda-gpt-1st bs=512 count=34 status=none
        else dd if="$disk" of=vda-hidden-data-after-mbr bs=512 skip=1 count=2047 status=none; fi
        echo vda > disk; : > clonezilla-img; : > parts
        """,
        directory=directory,
        disk=disk,
    )
    saved = [_save(disk, directory, number, where, compression, volume) for number, where in partitions(disk).items()]
    (directory / "parts").write_text(" ".join(name for name in saved if name) + "\n")
    return directory


def _save(disk: Path, directory: Path, number: int, where: tuple[int, int], compression: str, volume: str) -> str:
    """Save one partition; return its name in ``parts``, if any."""
    return shell(
        """
        dd if="$disk" of="$part" bs=512 skip="$start" count="$length" conv=sparse status=none
        name=vda$number; cd "$directory"
        kind=$(blkid -p -o value -s TYPE "$part" || true)
        case "$kind" in
        swap)
            printf 'UUID="%s"\\nLABEL="%s"\\n' "$(blkid -p -o value -s UUID "$part")" \
                "$(blkid -p -o value -s LABEL "$part" || true)" > swappt-$name.info; exit ;;
        ext4|vfat) save="partclone.$kind -f 0 -L /dev/null -c -s $part --output -"; stem=$name.$kind-ptcl-img.$suffix ;;
        *) if test "$length" -lt 9; then dd if="$part" of=$name-ebr bs=512 count=1 status=none; exit; fi
            if test "$extended" = yes; then dd if="$part" of=$name-ebr bs=512 count=1 status=none; exit; fi
            save="cat $part"; stem=$name.dd-img ;;
        esac
        if test "$volume" = 0; then $save 2>/dev/null | $packer > $stem
        else $save 2>/dev/null | $packer | split -a 2 -b "$volume" - $stem.; fi
        echo $name
        """,
        disk=disk, directory=directory, part=disk.with_name(f"cut{number}"), number=number, start=where[0], length=where[1],
        suffix=compression, packer=PACKERS[compression], volume=volume,
        extended="yes" if number == 4 else "no",
    ).strip()  # fmt: skip


def with_checksums(directory: Path, name: str = "MD5SUMS", tool: str = "md5sum") -> Path:
    """Add the checksum file that Clonezilla writes on request."""
    shell(f'cd "$directory"; {tool} -- * > /tmp/sums.$$; mv /tmp/sums.$$ {name}', directory=directory)
    return directory


def copy(directory: Path, target: Path) -> Path:
    """Copy a directory, to be damaged."""
    return Path(shutil.copytree(directory, target))
