"""Images that stand in local files. Raw and qcow2 disks are used where they are, never copied; all others are made into such."""

from pathlib import Path

from pragmaspec.frozen import Frozen
from pragmaspec.images.inspect import Format, inspect_file
from pragmaspec.images.recognise import ends, recognise
from pragmaspec.images.sources.base import Found, Workshop
from pragmaspec.images.sources.wanted_digest import check_digest
from pragmaspec.images.window import opened
from pragmaspec.recorded import Blob

USABLE = {"raw", "qcow2"}


class LocalSource(Frozen, frozen=True, tag_field="kind", tag="local"):
    """A disk in a file. Paths are absolute; ``shown`` is the path as the user wrote it."""

    disk: str
    shown: str
    sha256: str | None = None
    format: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""

    def origin(self) -> str:
        """The path as the user wrote it."""
        return self.shown

    def described(self) -> str:
        """Empty: the file itself decides."""
        return ""

    def find(self, workshop: Workshop) -> Found:
        """Read the files that have changed since they were last read, and inspect the disk."""
        disk = workshop.local(self.disk)
        check_digest(self.sha256, disk.sha256, self.shown)
        disk, format_, size = self._usable(disk, workshop)
        return Found(
            format=format_,
            virtual_size_bytes=size,
            disk=disk,
            kernel=workshop.local(self.kernel) if self.kernel else None,
            initrd=workshop.local(self.initrd) if self.initrd else None,
            cmdline=self.cmdline,
        )

    def _usable(self, disk: Blob, workshop: Workshop) -> tuple[Blob, Format, int]:
        """The disk as a node can boot from it: what packed and foreign ones become lies in the store."""
        file, partitionless = Path(self.disk), self.kernel is not None
        with opened(file) as window:
            kinds = recognise(*ends(window))
        if all(kind.name in USABLE or kind.family == "other" for kind in kinds):
            inspected = inspect_file(file, self.format, partitionless=partitionless)
            return disk, inspected.format, inspected.virtual_size_bytes
        from pragmaspec.images.disk import make_disk  # noqa: PLC0415 - formats and tools are only needed now

        return make_disk(
            file, workshop, declared=self.format, name=workshop.image, partitionless=partitionless, digest=disk.sha256
        )
