"""Writes a disk as a Clonezilla directory, which Clonezilla itself can restore, without devices, mounts or root.

Files and their names are those of Clonezilla 5.3.17's ``savedisk``. Like there, file systems that partclone does not support are
stored byte by byte.
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
from typing import IO

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.clonezilla import tools
from pragmaspec.images.clonezilla.partition_table import (
    GPT_SECTORS,
    SECTOR_BYTES,
    PartitionEntry,
    PartitionTable,
    parse_sfdisk_dump,
)
from pragmaspec.images.clonezilla.restore import SMALL_BYTES, ReportStep
from pragmaspec.images.clonezilla.volume_stream import VolumeWriter
from pragmaspec.images.formats.inspect import MAX_VIRTUAL_BYTES

MBR_BYTES = 512
MAX_HIDDEN_BYTES = 2**30
"""Clonezilla's own limit (``hidden_data_after_mbr_limit``)."""
_SUPPORTED = {
    "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfsplus", "jfs", "minix", "nilfs2", "ntfs", "reiserfs", "ufs", "vfat",
    "xfs",
}  # fmt: skip
"""File systems that partclone supports under the name that blkid reports."""


class WriteOptions(Frozen, frozen=True):
    """The name of the disk in the directory, the compression of its files, and the maximum size of volumes (0: no limit)."""

    disk: str = "sda"
    compression: str = "gz"
    volume_bytes: int = 4096 * 1000**2


def write_clonezilla(disk: Path, format_: str, directory: Path, options: WriteOptions, report: ReportStep) -> None:
    """Write the disk in the file ``disk`` (raw or qcow2, already inspected) to the new ``directory``.

    The directory appears only when it is complete. Needs free space beside it for the used part of the disk. Raises ImageError.
    """
    if directory.exists():
        raise ImageError("Directory exists", f"{directory} already exists. Name a new directory, or remove it.")
    directory = directory.absolute()  # the programs use other working directories
    part = directory.with_name(f".{directory.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with _raw_disk(disk, format_, part, report) as raw:
            _Writer(raw, part, options, report).write()
        part.rename(directory)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _raw_disk(disk: Path, format_: str, directory: Path, report: ReportStep) -> Iterator[Path]:
    """Yield the disk as a raw file: itself, or a temporary sparse copy."""
    if format_ == "raw":
        yield disk.absolute()
        return
    with tempfile.TemporaryDirectory(dir=directory, prefix=".raw-") as scratch:
        raw = Path(scratch) / "disk.raw"
        report("unpacking the disk", None, None)
        command = ["qemu-img", "convert", "-q", "-f", format_, "-O", "raw", "--", str(disk.absolute()), str(raw)]
        tools.run(command, MAX_VIRTUAL_BYTES)
        yield raw


class _Writer:
    """Writes one raw disk to a directory."""

    def __init__(self, raw: Path, directory: Path, options: WriteOptions, report: ReportStep) -> None:
        self.raw = raw
        self.directory = directory
        self.options = options
        self.report = report
        self.size = raw.stat().st_size
        self.file_systems: list[str] = []

    def write(self) -> None:
        """Write all files."""
        name = self.options.disk
        self.report("reading the partition table", None, None)
        dump = _rename_device(tools.run(["sfdisk", "--dump", str(self.raw)], 0), str(self.raw), name)
        table = parse_sfdisk_dump(dump, name)
        self._write_text(f"{name}-pt.sf", dump)
        self._write_first_sectors(table)
        saved = [one for one in table.partitions if not one.is_extended and self._write_partition(one)]
        self._write_text("disk", f"{name}\n")
        self._write_text("parts", f"{' '.join(one.device for one in saved)}\n")
        self._write_text("dev-fs.list", "# <Device name>   <File system>   <Size>\n" + "".join(self.file_systems))
        self._write_text("clonezilla-img", "This image was written by pragmaspec, in the format of Clonezilla's savedisk.\n")
        names = sorted(file.name for file in self.directory.iterdir() if file.is_file())
        self._write_text("SHA256SUMS", "".join(f"{_sha256(self.directory / one)}  {one}\n" for one in names))

    def _write_first_sectors(self, table: PartitionTable) -> None:
        name, sectors = self.options.disk, self.size // SECTOR_BYTES
        self._write_text(f"{name}-pt.parted", self._parted(table))
        heads, track = 255, 63
        self._write_text(f"{name}-chs.sf", f"cylinders={sectors // (heads * track)}\nheads={heads}\nsectors={track}\n")
        with self.raw.open("rb") as file:
            self._write_bytes(f"{name}-mbr", file.read(MBR_BYTES))
            if table.label == "gpt":
                file.seek(0)
                self._write_bytes(f"{name}-gpt-1st", file.read(GPT_SECTORS * SECTOR_BYTES))
                file.seek(self.size - (GPT_SECTORS - 2) * SECTOR_BYTES)  # like Clonezilla, without the first of the 33
                self._write_bytes(f"{name}-gpt-2nd", file.read())
                tools.run(["sgdisk", f"--backup={self.directory / f'{name}-gpt.gdisk'}", str(self.raw)], 2**20)
                self._write_text(f"{name}-gpt.sgdisk", tools.run(["sgdisk", "--print", str(self.raw)], 0))
            else:
                hidden = (min(one.start for one in table.partitions) - 1) * SECTOR_BYTES if table.partitions else 0
                if 0 < hidden <= MAX_HIDDEN_BYTES:
                    file.seek(SECTOR_BYTES)
                    self._write_bytes(f"{name}-hidden-data-after-mbr", file.read(hidden))
            for one in table.partitions:
                if one.is_extended:
                    file.seek(one.start * SECTOR_BYTES)
                    self._write_bytes(f"{one.device}-ebr", file.read(SECTOR_BYTES))

    def _parted(self, table: PartitionTable) -> str:
        """Return the output of ``parted unit s print`` as far as Clonezilla reads it: size of the disk and type of its table."""
        kind = "gpt" if table.label == "gpt" else "msdos"
        lines = [f"Model: pragmaspec (file)\nDisk /dev/{self.options.disk}: {self.size // SECTOR_BYTES}s"]
        lines.append(f"Sector size (logical/physical): {SECTOR_BYTES}B/{SECTOR_BYTES}B\nPartition Table: {kind}\nDisk Flags: \n")
        lines.append("Number  Start  End  Size  Type  File system  Flags")
        lines += [f" {one.number}  {one.start}s  {one.end - 1}s  {one.size}s" for one in table.partitions]
        return "\n".join(lines) + "\n"

    def _write_partition(self, one: PartitionEntry) -> bool:
        """Write the content of a partition; return False if only its identifier was written."""
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=".part-") as scratch:
            content = Path(scratch) / "content"
            self._extract(one, content)
            output = tools.run(["blkid", "-p", "-o", "export", str(content)], 0, accepted=frozenset({0, 2}))
            facts = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
            system = facts.get("TYPE", "")
            self.file_systems.append(f"/dev/{one.device} {system or 'raw'} {one.size * SECTOR_BYTES}\n")
            if system == "swap":
                lines = f'UUID="{facts.get("UUID", "")}"\nLABEL="{facts.get("LABEL", "")}"\n'
                self._write_text(f"swappt-{one.device}.info", lines)
                return False
            if system == "LVM2_member":
                detail = f"{one.device} is an LVM physical volume, which is not supported. Use an image without LVM."
                raise ImageError("Disk cannot be saved", detail)
            self._write_content(one, content, system if system in _SUPPORTED else "")
        return True

    def _write_content(self, one: PartitionEntry, content: Path, system: str) -> None:
        use_partclone = bool(system) and shutil.which(f"partclone.{system}", path=tools.SEARCH_PATH) is not None
        kind = f"{system}-ptcl-img.{self.options.compression}" if use_partclone else "dd-img"
        self.report(f"saving {one.device}", 0, one.size * SECTOR_BYTES)
        volumes = VolumeWriter(self.directory / f"{one.device}.{kind}", self.options.volume_bytes)
        command = _partclone_command(content, system) if use_partclone else ["cat", str(content)]
        with tempfile.TemporaryFile() as messages:
            reader = subprocess.Popen(
                tools.limited_command(command, 2**24),
                stdout=subprocess.PIPE, stderr=messages, env=tools.environment(), cwd=content.parent,
            )  # fmt: skip
            packer = subprocess.Popen(
                tools.limited_command(tools.compress_command(self.options.compression), 2**20),
                stdin=reader.stdout, stdout=subprocess.PIPE, stderr=messages, env=tools.environment(),
            )  # fmt: skip
            try:
                _output(reader).close()  # so that the reader notices when the packer ends
                with _output(packer) as output:
                    volumes.write(output, lambda done: self.report(f"saving {one.device}", done, None))
            except BaseException:
                reader.kill()
                packer.kill()
                raise
            finally:
                statuses = (reader.wait(), packer.wait())
            if any(statuses):
                messages.seek(0)
                failed = command[0] if statuses[0] else "compressing"
                raise tools.program_error(failed, statuses[0] or statuses[1], messages.read())

    def _extract(self, one: PartitionEntry, target: Path) -> None:
        """Write the bytes of a partition to a sparse file. All block drivers are named, so qemu-img probes nothing."""
        layers = {
            "driver": "raw", "offset": one.start * SECTOR_BYTES, "size": one.size * SECTOR_BYTES,
            "file": {"driver": "file", "filename": str(self.raw)},
        }  # fmt: skip
        tools.run(["qemu-img", "convert", "-q", "-O", "raw", "--", f"json:{json.dumps(layers)}", str(target)], MAX_VIRTUAL_BYTES)

    def _write_text(self, name: str, text: str) -> None:
        self._write_bytes(name, text.encode())

    def _write_bytes(self, name: str, content: bytes) -> None:
        (self.directory / name).write_bytes(content)


def _partclone_command(content: Path, system: str) -> list[str]:
    interval_s = "0" if content.stat().st_blocks * SECTOR_BYTES < SMALL_BYTES else "1"  # see restore.py
    log = content.with_name("log")
    return [f"partclone.{system}", "-c", "-q", "-f", interval_s, "-L", str(log), "-s", str(content), "-o", "-"]


def _rename_device(dump: str, file: str, disk: str) -> str:
    """Convert the dump of ``file`` into one of the device ``disk``; a ``p`` separates partition numbers from a final digit."""
    numbered = re.compile(rf"^(/dev/{re.escape(disk)})p?([0-9]+ :)")
    separator = "p" if disk[-1:].isdigit() else ""
    lines = (numbered.sub(rf"\1{separator}\2", line.replace(file, f"/dev/{disk}", 1)) for line in dump.splitlines())
    return "".join(f"{line}\n" for line in lines)


def _output(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    if process.stdout is None:
        raise RuntimeError("the program was started with a pipe")
    return process.stdout


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        digest = sha256()
        while piece := stream.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
