"""Restores a disk from a Clonezilla directory, without booting it, loop devices, mounts or root.

``sfdisk`` and ``partclone`` write into a sparse file. Where Clonezilla saves only an identifier (swap) or rewrites a table (MBR,
GPT), the same is done here, so the restored disk has the bytes of the saved one wherever a file system used them.

Sources: the kernel's ``include/linux/swap.h``; partclone's ``src/partclone.h`` (0.3.23).
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
from pragmaspec.images.clonezilla.checksums import read_checksums
from pragmaspec.images.clonezilla.directory import ClonezillaDirectory, read_directory
from pragmaspec.images.clonezilla.directory_names import StoredPartition
from pragmaspec.images.clonezilla.partimage import VOLUME_HEADER_BYTES, restore_partimage
from pragmaspec.images.clonezilla.partition_table import SECTOR_BYTES, sfdisk_script
from pragmaspec.images.clonezilla.volume_stream import (
    MAX_MESSAGE_BYTES,
    DecompressedStream,
    copy_sparse,
    open_decompressed,
    read_start,
)
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.formats.inspect import inspect_any
from pragmaspec.images.formats.qcow2_writer import write_qcow2
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.formats.sparse import read_blocks
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions
from pragmaspec.images.transfer.cached_folder import ReadableFolder

PARTCLONE_HEADER_BYTES = 112
PAGE_BYTES = 4096
EXTENDED_BOOT_CODE_BYTES = 446
SMALL_BYTES = 64 * 2**20
_PARTCLONE_MAGIC = b"partclone-image"
_SWAP_NAMESPACE = UUID("1b3c6d1e-5a53-5c0b-9c43-3a8d3e0f6a11")
_SWAP_LABEL_BYTES = 16

ReportStep = Callable[[str, int | None, int | None], None]
"""Reports progress: the current activity, bytes done, total bytes."""
CheckSpace = Callable[[int], None]
"""Raises ImageError if there is no free space for so many bytes."""


class PartcloneHeader(Frozen, frozen=True):
    """The start of a partclone image. ``device_bytes``: size of the file system; ``used_bytes``: the part of it in the image."""

    version: str
    device_bytes: int
    used_bytes: int


def parse_partclone_header(start: bytes) -> PartcloneHeader | None:
    """Parse the first 112 bytes of a volume; None if it is not a partclone image, or of an unknown version."""
    if not start.startswith(_PARTCLONE_MAGIC) or len(start) < PARTCLONE_HEADER_BYTES:
        return None
    if start[30:34] == b"0002":
        device, _, used, _, block = struct.unpack_from("<QQQQI", start, 52)
        return PartcloneHeader(version="0002", device_bytes=device, used_bytes=used * block)
    if start[30:34] == b"0001":
        block, device, _, used = struct.unpack_from("<iQQQ", start, 36)
        return PartcloneHeader(version="0001", device_bytes=device, used_bytes=used * block)
    return None


def swap_page(size_bytes: int, uuid: str, label: str) -> bytes:
    """Return the first page of a swap area, as ``mkswap`` creates it. An empty ``uuid`` is derived from the rest."""
    identity = UUID(uuid) if uuid else uuid5(_SWAP_NAMESPACE, f"{label} {size_bytes}")
    page = bytearray(PAGE_BYTES)
    struct.pack_into("<III", page, 1024, 1, size_bytes // PAGE_BYTES - 1, 0)
    page[1036:1052] = identity.bytes
    encoded_label = label.encode()[: _SWAP_LABEL_BYTES - 1]
    page[1052 : 1052 + len(encoded_label)] = encoded_label
    page[-10:] = b"SWAPSPACE2"
    return bytes(page)


def restore(
    directory: ClonezillaDirectory,
    folder: ReadableFolder,
    raw: Path,
    report: ReportStep,
    check_space: CheckSpace = lambda _: None,
) -> None:
    """Write the disk to the new, sparse file ``raw``. Raises ImageError; ``raw`` is then useless."""
    with raw.open("xb") as file:
        file.truncate(directory.size_bytes)
    report("writing the partition table", None, None)
    _write_table(directory, folder, raw)
    restorer = _PartitionRestorer(directory, folder, raw, report, check_space)
    for stored in directory.stored:
        restorer.restore(stored)
    with raw.open("r+b") as file:
        for swap in directory.swaps:
            start, length = directory.extent(swap.partition)
            file.seek(start)
            file.write(swap_page(length, swap.uuid, swap.label))


def restore_to_store(folder: ReadableFolder, context: ImageContext, scratch: Path, key: str) -> BootableDisk:
    """Put the disk of a Clonezilla directory into the store. The caller holds the store's lock ``key``. Raises ImageError."""
    raw, store = scratch / "disk.raw", context.store
    context.step("reading the Clonezilla directory")
    directory = read_directory(folder)
    # The raw disk and its copy in the store exist at the same time.
    restore(directory, folder, raw, context.step, lambda size_bytes: store.check_space(2 * size_bytes, context.image))
    context.step("writing the disk")
    part = store.part(key)
    with open_regular(raw) as disk:
        inspect_any(disk, "raw")
        with part.open("wb") as target:
            write_qcow2(target, read_blocks(disk.handle))
    raw.unlink()
    return make_disk(part, context, DiskOptions(declared="qcow2"))


def _write_table(directory: ClonezillaDirectory, folder: ReadableFolder, raw: Path) -> None:
    """Write the table, then the boot code: sfdisk writes the disk identifier, which is between code and table."""
    if directory.table is not None:
        script = sfdisk_script(directory.table, directory.size_bytes).encode()
        tools.run(["sfdisk", "-q", "--force", "--no-reread", "--no-tell-kernel", "--wipe=never", str(raw)],
                  directory.size_bytes, script)  # fmt: skip
    with raw.open("r+b") as file:
        file.write(directory.boot_code)
        if directory.hidden and folder.size(directory.hidden) <= _bytes_before_partitions(directory):
            file.seek(SECTOR_BYTES)
            file.writelines(folder.chunks(directory.hidden))
        for device, name in directory.extended_code:
            code = folder.read_small(name) or b""
            if directory.table is not None and any(one.device == device for one in directory.table.partitions):
                file.seek(directory.extent(device)[0])
                file.write(code[:EXTENDED_BOOT_CODE_BYTES])


def _bytes_before_partitions(directory: ClonezillaDirectory) -> int:
    """Return the number of bytes between the first sector and the first partition."""
    first = min(one.start for one in directory.table.partitions) if directory.table else 1
    return max(0, first - 1) * SECTOR_BYTES


class _PartitionRestorer:
    """Restores the partitions of one disk into the file ``raw``."""

    def __init__(
        self, directory: ClonezillaDirectory, folder: ReadableFolder, raw: Path, report: ReportStep, check_space: CheckSpace
    ) -> None:
        self._directory = directory
        self._folder = folder
        self._raw = raw
        self._report = report
        self._check_space = check_space
        self._checksums = read_checksums(folder)

    def restore(self, stored: StoredPartition) -> None:
        """Restore the content of one partition. Raises ImageError."""
        first = stored.files[0]
        self._report(f"restoring {stored.partition}", None, None)
        compression = tools.detect_compression(next(self._folder.chunks(first), b""), stored.compression)
        if len(stored.files) > 1 and _is_split_by_partimage(first) and compression != "uncomp":
            raise _rejected(f"The volumes of the partition {stored.partition} are compressed by partimage; join them with it")
        header = parse_partclone_header(read_start(lambda: self._folder.chunks(first), compression, PARTCLONE_HEADER_BYTES))
        with open_decompressed(lambda: self._chunks(stored), compression) as stream:
            if header is not None:
                self._restore_partclone(stream, header, stored.partition)
            elif stored.tool in {"partimage", "ntfsclone", "dd"}:
                self._restore_other(stream, stored)
            else:
                stream.finish()
                raise _rejected(f"The file {first} is not an image of partclone, or of an unknown version")
            stream.finish()

    def _restore_partclone(self, stream: DecompressedStream, header: PartcloneHeader, partition: str) -> None:
        self._check_space(header.used_bytes)
        start, length = self._directory.extent(partition)
        _check_fit(partition, header.device_bytes, length)
        # partclone sleeps for this many seconds between updates of its progress, also at the end; with 0 it polls instead.
        interval_s = "0" if header.used_bytes < SMALL_BYTES else "1"
        with tempfile.NamedTemporaryFile(prefix="pragmaspec-partclone-") as log:
            command = [
                "partclone.restore", "-C", "-q", "-f", interval_s, "-L", log.name, "-s", "-",
                "-O", str(self._raw), "-E", str(start),
            ]  # fmt: skip
            limit = max(self._directory.size_bytes, MAX_MESSAGE_BYTES)
            self._run(command, stream, limit, lambda _: log.read())

    def _restore_other(self, stream: DecompressedStream, stored: StoredPartition) -> None:
        start, length = self._directory.extent(stored.partition)
        if stored.tool == "ntfsclone":
            self._restore_ntfsclone(stream, start, length, stored.partition)
            return
        copy = restore_partimage if stored.tool == "partimage" else copy_sparse
        with self._raw.open("r+b") as file:
            _check_fit(stored.partition, copy(stream.output, file, start, length), length)

    def _restore_ntfsclone(self, stream: DecompressedStream, start: int, length: int, partition: str) -> None:
        """Restore through a separate sparse file, because ntfsclone always writes at offset 0."""
        with tempfile.NamedTemporaryFile(dir=self._raw.parent, prefix="ntfs-") as scratch:
            command = ["ntfsclone", "--restore-image", "--overwrite", scratch.name, "-"]
            self._run(command, stream, length, lambda messages: messages)
            with open(scratch.name, "rb") as restored, self._raw.open("r+b") as file:  # noqa: PTH123 - ntfsclone may replace it
                _check_fit(partition, copy_sparse(restored, file, start, length), length)

    def _run(self, command: list[str], stream: DecompressedStream, max_bytes: int, messages: Callable[[bytes], bytes]) -> None:
        """Run a program on ``stream``. Raises ImageError, with the ``messages`` for its standard error output, if it fails."""
        result = subprocess.run(
            tools.limited_command(command, max_bytes), stdin=stream.output, capture_output=True, env=tools.environment(),
            check=False,
        )  # fmt: skip
        if result.returncode != 0:
            # A missing or damaged volume is the better explanation.
            stream.output.close()
            stream.finish()
            raise tools.program_error(command[0], result.returncode, messages(result.stderr))

    def _chunks(self, stored: StoredPartition) -> Iterator[bytes]:
        """Yield the content of all volumes, verifying their checksums."""
        doing = f"restoring {stored.partition}"
        for number, name in enumerate(stored.files, start=1):
            total, done = self._folder.size(name), 0
            verifier = self._checksums.verifier(name)
            volume = f"{doing}, volume {number} of {len(stored.files)}" if len(stored.files) > 1 else doing
            for chunk in self._folder.chunks(name):
                verifier.update(chunk)
                has_header = number > 1 and not done and _is_split_by_partimage(name)
                yield chunk[VOLUME_HEADER_BYTES:] if has_header else chunk
                done += len(chunk)
                self._report(volume, done, total)
            verifier.finish()


def _is_split_by_partimage(name: str) -> bool:
    """True if the volume was split by partimage, which starts each with a header, and not by ``split``."""
    return name.rpartition(".")[2].isdigit()


def _check_fit(partition: str, size_bytes: int, length: int) -> None:
    if size_bytes > length:
        raise _rejected(f"The content of {partition} is larger than the {length} bytes of the partition")


def _rejected(reason: str) -> ImageError:
    return ImageError("Clonezilla image rejected", f"{reason}.")
