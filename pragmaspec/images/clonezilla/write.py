"""From a disk to a Clonezilla directory that Clonezilla itself restores, without devices, mounts or root.

Files and their names are those of Clonezilla 5.3.17's ``savedisk``; file systems that partclone does not know are stored byte for
byte, as Clonezilla does.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.clonezilla import tools
from pragmaspec.images.clonezilla.partition_table import GPT_SECTORS, SECTOR, Partition, PartitionTable, parse_sfdisk_dump
from pragmaspec.images.clonezilla.restore import SMALL_BYTES, ReportStep
from pragmaspec.images.clonezilla.volume_stream import VolumeWriter
from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES

MBR_BYTES = 512
MOST_HIDDEN_BYTES = 2**30
"""Clonezilla's own limit (``hidden_data_after_mbr_limit``)."""
_KNOWN = {
    "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "jfs", "minix", "nilfs2", "ntfs", "reiserfs", "ufs", "vfat",
    "xfs",
}  # fmt: skip
"""File systems that have a partclone of the name that blkid gives them."""


class WriteOptions(Frozen, frozen=True):
    """How a directory is written: the ``disk``'s name in it, how its files are compressed, and cut (0: not at all)."""

    disk: str = "sda"
    compression: str = "gz"
    volume_bytes: int = 4096 * 1000**2


def write_clonezilla(disk: Path, format_: str, directory: Path, saving: WriteOptions, said: ReportStep) -> None:
    """Write the disk in the file ``disk`` (raw or qcow2, already inspected) to the new ``directory``.

    The directory appears when it is complete. Takes room for the disk's used bytes meanwhile, beside it. Raises ImageError.
    """
    if directory.exists():
        detail = f"{directory} is there already. Name a directory that is not, or remove it."
        raise ImageError("Directory exists", detail)
    directory = directory.absolute()  # the programs work in directories of their own
    part = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with _raw(disk, format_, part, said) as raw:
            _Saver(raw, part, saving, said).save()
        part.rename(directory)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _raw(disk: Path, format_: str, beside: Path, said: ReportStep) -> Iterator[Path]:
    """The disk as a raw file: itself, or a sparse copy that is gone afterwards."""
    if format_ == "raw":
        yield disk.absolute()
        return
    with tempfile.TemporaryDirectory(dir=beside, prefix=".raw-") as scratch:
        raw = Path(scratch) / "disk.raw"
        said("unpacking the disk", None, None)
        command = ["qemu-img", "convert", "-q", "-f", format_, "-O", "raw", "--", str(disk.absolute()), str(raw)]
        tools.run(command, MAX_VIRTUAL_BYTES)
        yield raw


class _Saver:
    """One disk that is being saved."""

    def __init__(self, raw: Path, directory: Path, saving: WriteOptions, said: ReportStep) -> None:
        self.raw = raw
        self.directory = directory
        self.saving = saving
        self.said = said
        self.size = raw.stat().st_size
        self.systems: list[str] = []

    def save(self) -> None:
        """Write everything."""
        name = self.saving.disk
        self.said("reading the partition table", None, None)
        dump = _renamed(tools.run(["sfdisk", "--dump", str(self.raw)], 0), str(self.raw), name)
        table = parse_sfdisk_dump(dump, name)
        self._text(f"{name}-pt.sf", dump)
        self._first_sectors(table)
        saved = [one for one in table.partitions if not one.extended and self._partition(one)]
        self._text("disk", f"{name}\n")
        self._text("parts", f"{' '.join(one.device for one in saved)}\n")
        self._text("dev-fs.list", "# <Device name>   <File system>   <Size>\n" + "".join(self.systems))
        self._text("clonezilla-img", "This image was written by pragmaspec, in the format of Clonezilla's savedisk.\n")
        names = sorted(file.name for file in self.directory.iterdir() if file.is_file())
        self._text("SHA256SUMS", "".join(f"{_digest(self.directory / one)}  {one}\n" for one in names))

    def _first_sectors(self, table: PartitionTable) -> None:
        name, sectors = self.saving.disk, self.size // SECTOR
        self._text(f"{name}-pt.parted", self._parted(table))
        heads, track = 255, 63
        self._text(f"{name}-chs.sf", f"cylinders={sectors // (heads * track)}\nheads={heads}\nsectors={track}\n")
        with self.raw.open("rb") as file:
            self._bytes(f"{name}-mbr", file.read(MBR_BYTES))
            if table.label == "gpt":
                file.seek(0)
                self._bytes(f"{name}-gpt-1st", file.read(GPT_SECTORS * SECTOR))
                file.seek(self.size - (GPT_SECTORS - 2) * SECTOR)  # Clonezilla, too, leaves out the first of the 33
                self._bytes(f"{name}-gpt-2nd", file.read())
                tools.run(["sgdisk", f"--backup={self.directory / f'{name}-gpt.gdisk'}", str(self.raw)], 2**20)
                self._text(f"{name}-gpt.sgdisk", tools.run(["sgdisk", "--print", str(self.raw)], 0))
            else:
                hidden = (min(one.start for one in table.partitions) - 1) * SECTOR if table.partitions else 0
                if 0 < hidden <= MOST_HIDDEN_BYTES:
                    file.seek(SECTOR)
                    self._bytes(f"{name}-hidden-data-after-mbr", file.read(hidden))
            for one in table.partitions:
                if one.extended:
                    file.seek(one.start * SECTOR)
                    self._bytes(f"{one.device}-ebr", file.read(SECTOR))

    def _parted(self, table: PartitionTable) -> str:
        """What Clonezilla reads of ``parted unit s print``: the disk's size and the kind of table."""
        kind = "gpt" if table.label == "gpt" else "msdos"
        lines = [f"Model: pragmaspec (file)\nDisk /dev/{self.saving.disk}: {self.size // SECTOR}s"]
        lines.append(f"Sector size (logical/physical): {SECTOR}B/{SECTOR}B\nPartition Table: {kind}\nDisk Flags: \n")
        lines.append("Number  Start  End  Size  Type  File system  Flags")
        lines += [f" {one.number}  {one.start}s  {one.end - 1}s  {one.size}s" for one in table.partitions]
        return "\n".join(lines) + "\n"

    def _partition(self, one: Partition) -> bool:
        """Save a partition; False when there is nothing to save but an identity."""
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=".part-") as scratch:
            content = Path(scratch) / "content"
            self._cut_out(one, content)
            told = tools.run(["blkid", "-p", "-o", "export", str(content)], 0, accepted=frozenset({0, 2}))
            facts = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
            system = facts.get("TYPE", "")
            self.systems.append(f"/dev/{one.device} {system or 'raw'} {one.size * SECTOR}\n")
            if system == "swap":
                lines = f'UUID="{facts.get("UUID", "")}"\nLABEL="{facts.get("LABEL", "")}"\n'
                self._text(f"swappt-{one.device}.info", lines)
                return False
            if system == "LVM2_member":
                detail = f"{one.device} is a physical volume of LVM, which is not saved. Use an image without LVM."
                raise ImageError("Disk cannot be saved", detail)
            self._store(one, content, system if system in _KNOWN else "")
        return True

    def _store(self, one: Partition, content: Path, system: str) -> None:
        known = bool(system) and shutil.which(f"partclone.{system}", path=tools.SEARCH_PATH) is not None
        suffix = f".{self.saving.compression}" if known else ""
        kind = f"{system}-ptcl-img" if known else "dd-img"
        self.said(f"saving {one.device}", 0, one.size * SECTOR)
        volumes = VolumeWriter(self.directory / f"{one.device}.{kind}{suffix}", self.saving.volume_bytes)
        log = content.with_name("log")
        fresh = "0" if content.stat().st_blocks * SECTOR < SMALL_BYTES else "1"  # see restore
        source = [f"partclone.{system}", "-c", "-q", "-f", fresh, "-L", str(log), "-s", str(content), "-o", "-"]
        with tempfile.TemporaryFile() as words:
            reader = subprocess.Popen(
                tools.limited_command(source if known else ["cat", str(content)], 2**24),
                stdout=subprocess.PIPE, stderr=words, env=tools.environment(), cwd=content.parent,
            )  # fmt: skip
            packer = subprocess.Popen(
                tools.limited_command(tools.compress_command(self.saving.compression), 2**20),
                stdin=reader.stdout, stdout=subprocess.PIPE, stderr=words, env=tools.environment(),
            )  # fmt: skip
            try:
                _drop(reader)
                volumes.take(packer, lambda done: self.said(f"saving {one.device}", done, None))
            except BaseException:
                reader.kill()
                packer.kill()
                raise
            finally:
                statuses = (reader.wait(), packer.wait())
            if any(statuses):
                words.seek(0)
                raise tools.program_error(source[0] if statuses[0] else "compressing", statuses[0] or statuses[1], words.read())

    def _cut_out(self, one: Partition, target: Path) -> None:
        """The bytes of a partition as a sparse file. The drivers are all named, so nothing is guessed from them."""
        layers = {
            "driver": "raw", "offset": one.start * SECTOR, "size": one.size * SECTOR,
            "file": {"driver": "file", "filename": str(self.raw)},
        }  # fmt: skip
        tools.run(["qemu-img", "convert", "-q", "-O", "raw", "--", f"json:{json.dumps(layers)}", str(target)], MAX_VIRTUAL_BYTES)

    def _text(self, name: str, text: str) -> None:
        self._bytes(name, text.encode())

    def _bytes(self, name: str, content: bytes) -> None:
        (self.directory / name).write_bytes(content)


def _renamed(dump: str, file: str, disk: str) -> str:
    """A dump of ``file`` as one of the device ``disk``. A ``p`` parts the number of a partition from a digit before it."""
    numbered = re.compile(rf"^(/dev/{re.escape(disk)})p?([0-9]+ :)")
    between = "p" if disk[-1:].isdigit() else ""
    lines = (numbered.sub(rf"\1{between}\2", line.replace(file, f"/dev/{disk}", 1)) for line in dump.splitlines())
    return "".join(f"{line}\n" for line in lines)


def _drop(process: "subprocess.Popen[bytes]") -> None:
    """Close our end of what the next program reads, so that the first one notices when that one ends."""
    if process.stdout is not None:
        process.stdout.close()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        digest = sha256()
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
