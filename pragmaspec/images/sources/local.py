"""Images that stand in local files: used where they are, never copied; only their digests are remembered."""

from pathlib import Path
from typing import Literal

from pragmaspec.frozen import Frozen
from pragmaspec.images.inspect import inspect_file
from pragmaspec.images.sources.base import Found, Workshop
from pragmaspec.images.sources.wanted_digest import check_digest


class LocalSource(Frozen, frozen=True, tag_field="kind", tag="local"):
    """A disk in a file. Paths are absolute; ``shown`` is the path as the user wrote it."""

    disk: str
    shown: str
    sha256: str | None = None
    format: Literal["qcow2", "raw"] | None = None
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
        inspected = inspect_file(Path(self.disk), self.format, partitionless=self.kernel is not None)
        return Found(
            format=inspected.format,
            virtual_size_bytes=inspected.virtual_size_bytes,
            disk=disk,
            kernel=workshop.local(self.kernel) if self.kernel else None,
            initrd=workshop.local(self.initrd) if self.initrd else None,
            cmdline=self.cmdline,
        )
