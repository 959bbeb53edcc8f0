"""From a Clonezilla directory to the disk it was made from, without booting it, without loop devices, mounts or root.

``sfdisk`` and ``partclone`` write into a sparse file. Where Clonezilla keeps only an identity (swap) or rewrites a table (MBR,
GPT), the same is made here, so the bytes of the restored disk are those of the saved one, wherever a file system used them.

A restored disk, put into the store.

The beginning of a partclone image: of how large a file system it is. Source: partclone's ``src/partclone.h`` (0.3.23).

A swap area as ``mkswap`` makes it: one page at its beginning. Source: the kernel's ``include/linux/swap.h``.
"""

import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid5

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.clonezilla import tools
from pragmaspec.images.clonezilla import volume_stream as flow
from pragmaspec.images.clonezilla.checksums import Checksums, read_checksums
from pragmaspec.images.clonezilla.directory import ClonezillaDirectory, read_directory
from pragmaspec.images.clonezilla.directory_names import StoredPartition
from pragmaspec.images.clonezilla.partimage import VOLUME_BYTES, restore_partimage
from pragmaspec.images.clonezilla.partition_table import SECTOR, sfdisk_script
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.formats.inspect import inspect_any
from pragmaspec.images.formats.qcow2_writer import write_qcow2
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.formats.sparse import read_blocks
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions
from pragmaspec.images.transfer.cached_folder import ReadableFolder

PARTCLONE_HEADER_BYTES = 112
_MAGIC = b"partclone-image"


class PartcloneHeader(Frozen, frozen=True):
    """``device_bytes``: what the restored file system fills; ``used_bytes``: what of it is in the image."""

    version: str
    device_bytes: int
    used_bytes: int


def parse_partclone_header(start: bytes) -> PartcloneHeader | None:
    """The header in the first 112 bytes of an image; None when it is not one of partclone's, or of an unknown version."""
    if not start.startswith(_MAGIC) or len(start) < PARTCLONE_HEADER_BYTES:
        return None
    if start[30:34] == b"0002":
        device, _, used, _, block = struct.unpack_from("<QQQQI", start, 52)
        return PartcloneHeader(version="0002", device_bytes=device, used_bytes=used * block)
    if start[30:34] == b"0001":
        block, device, _, used = struct.unpack_from("<iQQQ", start, 36)
        return PartcloneHeader(version="0001", device_bytes=device, used_bytes=used * block)
    return None


PAGE_BYTES = 4096
_SPACE = UUID("1b3c6d1e-5a53-5c0b-9c43-3a8d3e0f6a11")
_LABEL_BYTES = 16


def swap_page(size_bytes: int, uuid: str, label: str) -> bytes:
    """The first page of a swap area of ``size_bytes``. Without ``uuid`` it gets one that is always the same."""
    identity = UUID(uuid) if uuid else uuid5(_SPACE, f"{label} {size_bytes}")
    page = bytearray(PAGE_BYTES)
    struct.pack_into("<III", page, 1024, 1, size_bytes // PAGE_BYTES - 1, 0)
    page[1036:1052] = identity.bytes
    named = label.encode()[: _LABEL_BYTES - 1]
    page[1052 : 1052 + len(named)] = named
    page[-10:] = b"SWAPSPACE2"
    return bytes(page)


ReportStep = Callable[[str, int | None, int | None], None]
"""Progress: what is being done, bytes done, bytes in all."""
CheckSpace = Callable[[int], None]
"""Raises ImageError when there is no room for so many bytes more."""
EXTENDED_BOOT_CODE_BYTES = 446
SMALL_BYTES = 64 * 2**20


def restore(
    directory: ClonezillaDirectory, near: ReadableFolder, raw: Path, said: ReportStep, room: CheckSpace = lambda _: None
) -> None:
    """Write the disk to the new, sparse file ``raw``. Raises ImageError; ``raw`` is worth nothing then."""
    with raw.open("xb") as file:
        file.truncate(directory.size_bytes)
    said("writing the partition table", None, None)
    _write_table(directory, near, raw)
    work = _Restoring(directory, near, raw, said, room, read_checksums(near))
    for stored in directory.stored:
        work.partition(stored)
    with raw.open("r+b") as file:
        for swap in directory.swaps:
            start, length = directory.place(swap.partition)
            file.seek(start)
            file.write(swap_page(length, swap.uuid, swap.label))


def _write_table(directory: ClonezillaDirectory, near: ReadableFolder, raw: Path) -> None:
    """Table first, then boot code: sfdisk writes the disk's identity between code and table."""
    if directory.table is not None:
        text = sfdisk_script(directory.table, directory.size_bytes).encode()
        tools.run(["sfdisk", "-q", "--force", "--no-reread", "--no-tell-kernel", "--wipe=never", str(raw)],
                  directory.size_bytes, text)  # fmt: skip
    with raw.open("r+b") as file:
        file.write(directory.boot_code)
        room = _before_partitions(directory)
        if directory.hidden and near.size(directory.hidden) <= room:
            file.seek(SECTOR)
            file.writelines(near.chunks(directory.hidden))
        for device, name in directory.extended_code:
            code = near.read_small(name) or b""
            if directory.table is not None and any(one.device == device for one in directory.table.partitions):
                file.seek(directory.place(device)[0])
                file.write(code[:EXTENDED_BOOT_CODE_BYTES])


def _before_partitions(directory: ClonezillaDirectory) -> int:
    """Bytes between the first sector and the first partition."""
    first = min(one.start for one in directory.table.partitions) if directory.table else 1
    return max(0, first - 1) * SECTOR


class _Restoring:
    """One disk that is being restored."""

    def __init__(
        self,
        directory: ClonezillaDirectory,
        near: ReadableFolder,
        raw: Path,
        said: ReportStep,
        room: CheckSpace,
        checksums: Checksums,
    ) -> None:
        self.directory = directory
        self.near = near
        self.raw = raw
        self.said = said
        self.room = room
        self.checksums = checksums

    def partition(self, stored: StoredPartition) -> None:
        """Restore what is in one partition."""
        first = stored.files[0]
        self.said(f"restoring {stored.partition}", None, None)
        compression = tools.detect_compression(next(self.near.chunks(first), b""), stored.compression)
        if len(stored.files) > 1 and _cut_by_partimage(first) and compression != "uncomp":
            raise _damaged(f"The partition {stored.partition} is in volumes that partimage itself compressed; have it join them")
        start, length = self.directory.place(stored.partition)
        header = parse_partclone_header(flow.read_start(lambda: self.near.chunks(first), compression, PARTCLONE_HEADER_BYTES))
        with flow.open_decompressed(lambda: self._pieces(stored), compression) as stream:
            if header is not None:
                self.room(header.used_bytes)
                self._fits(stored.partition, header.device_bytes, length)
                self._partclone(stream, start, small=header.used_bytes < SMALL_BYTES)
            elif stored.tool == "partimage":
                with self.raw.open("r+b") as file:
                    self._fits(stored.partition, restore_partimage(stream.output, file, start, length), length)
            elif stored.tool == "ntfsclone":
                self._ntfsclone(stream, start, length, stored.partition)
            elif stored.tool == "dd":
                with self.raw.open("r+b") as file:
                    self._fits(stored.partition, flow.copy_sparse(stream.output, file, start, length), length)
            else:
                stream.finish()
                raise _damaged(f"The file {first} is not an image of partclone, or of a version that is not known")
            stream.finish()

    def _fits(self, partition: str, needed: int, length: int) -> None:
        if needed > length:
            raise _damaged(f"What is to be restored to {partition} is larger than the {length} bytes of that partition")

    def _partclone(self, stream: flow.DecompressedStream, start: int, *, small: bool) -> None:
        # partclone sleeps between looks at its progress, a second at the end too; 0 does not sleep, but spins.
        fresh = "0" if small else "1"
        with tempfile.NamedTemporaryFile(prefix="pragmaspec-partclone-") as log:
            command = [
                "partclone.restore",
                "-C",
                "-q",
                "-f",
                fresh,
                "-L",
                log.name,
                "-s",
                "-",
                "-O",
                str(self.raw),
                "-E",
                str(start),
            ]
            done = subprocess.run(
                tools.limited_command(command, max(self.directory.size_bytes, flow.MAX_MESSAGE_BYTES)), stdin=stream.output,
                capture_output=True, env=tools.environment(), check=False,
            )  # fmt: skip
            if done.returncode != 0:
                # A volume that is missing or damaged is the better reason.
                stream.output.close()
                stream.finish()
                raise tools.program_error("partclone.restore", done.returncode, log.read())

    def _ntfsclone(self, stream: flow.DecompressedStream, start: int, length: int, partition: str) -> None:
        """By way of a sparse file of its own: ntfsclone cannot begin in the middle of one."""
        with tempfile.NamedTemporaryFile(dir=self.raw.parent, prefix="ntfs-") as scratch:
            command = ["ntfsclone", "--restore-image", "--overwrite", scratch.name, "-"]
            done = subprocess.run(
                tools.limited_command(command, length),
                stdin=stream.output,
                capture_output=True,
                env=tools.environment(),
                check=False,
            )
            if done.returncode != 0:
                stream.output.close()
                stream.finish()
                raise tools.program_error("ntfsclone", done.returncode, done.stderr)
            with open(scratch.name, "rb") as restored, self.raw.open("r+b") as file:  # noqa: PTH123 - ntfsclone may replace it
                self._fits(partition, flow.copy_sparse(restored, file, start, length), length)

    def _pieces(self, stored: StoredPartition) -> Iterator[bytes]:
        """The bytes of all volumes, checked as they pass."""
        doing = f"restoring {stored.partition}"
        for number, name in enumerate(stored.files, start=1):
            total, done = self.near.size(name), 0
            watched = self.checksums.watch(name)
            volume = f"{doing}, volume {number} of {len(stored.files)}" if len(stored.files) > 1 else doing
            for piece in self.near.chunks(name):
                watched.update(piece)
                yield piece[VOLUME_BYTES:] if number > 1 and not done and _cut_by_partimage(name) else piece
                done += len(piece)
                self.said(volume, done, total)
            watched.finish()


def _cut_by_partimage(name: str) -> bool:
    """Whether a volume was cut by partimage itself, which begins each with a header, and not by ``split``."""
    return name.rpartition(".")[2].isdigit()


def _damaged(why: str) -> ImageError:
    return ImageError("Clonezilla image refused", f"{why}.")


def restore_to_store(near: ReadableFolder, context: ImageContext, scratch: Path, key: str) -> BootableDisk:
    """The disk in a Clonezilla directory, as qcow2 in the store. The caller holds the store's lock ``key``. Raises ImageError."""
    raw, store = scratch / "disk.raw", context.store
    context.step("reading the Clonezilla directory")
    directory = read_directory(near)
    restore(directory, near, raw, context.step, lambda wanted: store.check_space(2 * wanted, context.image))
    context.step("writing the disk")
    part = store.part(key)
    with open_regular(raw) as window:
        inspect_any(window, "raw")
        with part.open("wb") as target:
            write_qcow2(target, read_blocks(window.handle))
    raw.unlink()
    return make_disk(part, context, DiskOptions(declared="qcow2"))
