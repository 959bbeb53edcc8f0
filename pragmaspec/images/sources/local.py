"""Images that stand in local files. Raw and qcow2 disks are used where they are, never copied; all others are made into such."""

from pathlib import Path

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.formats.detect import detect_formats, head_and_tail
from pragmaspec.images.formats.inspect import inspect_file
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions, cache_disk, cached_inspection
from pragmaspec.images.store.digest_cache import changed_while_reading
from pragmaspec.images.transfer.digest_checks import check_digest

USABLE = {"raw", "qcow2"}


class LocalSource(Frozen, frozen=True, tag_field="kind", tag="local"):
    """A disk in a file. Paths are absolute.

    ``shown`` is the path as the user wrote it; ``member`` a path in the archive that the file is.
    """

    disk: str
    shown: str
    sha256: str | None = None
    format: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    member: str = ""

    def origin(self) -> str:
        """The path as the user wrote it, and the file in that archive."""
        return f"{self.shown}, member {self.member}" if self.member else self.shown

    def described(self) -> str:
        """Empty: the file itself decides."""
        return ""

    def find(self, workshop: ImageContext) -> VerifiedImage:
        """Read the files that have changed since they were last read, and inspect the disk."""
        self._check_there()
        disk, format_, size = self._disk(workshop)
        return VerifiedImage(
            format=format_,
            virtual_size_bytes=size,
            disk=disk,
            kernel=workshop.local(self.kernel) if self.kernel else None,
            initrd=workshop.local(self.initrd) if self.initrd else None,
            cmdline=self.cmdline,
        )

    def _check_there(self) -> None:
        """Raises ImageError for every file that is missing."""
        hint = "" if Path(self.shown).is_absolute() else " Paths of images are relative to the spec."
        gone = [path for path in (self.disk, self.kernel, self.initrd) if path and not Path(path).exists()]
        if gone:
            raise ImageError.of(
                Problem(summary="Image cannot be read", detail=f"There is no file {path}.{hint}") for path in gone
            )

    def _disk(self, workshop: ImageContext) -> BootableDisk:
        """The disk as a node can boot from it: what packed and foreign ones become lies in the store."""
        with open_regular(Path(self.disk)) as window:
            kinds = detect_formats(*head_and_tail(window))
        if not self.member and all(kind.name in USABLE or kind.family == "other" for kind in kinds):
            return self._as_it_is(workshop)
        from pragmaspec.images.disks.streaming import make_disk_of_local_file  # noqa: PLC0415 - formats and tools are only needed now

        return make_disk_of_local_file(
            Path(self.disk), workshop, self._options, lambda digest: check_digest(self.sha256, digest, self.shown)
        )

    @property
    def _options(self) -> DiskOptions:
        return DiskOptions(declared=self.format, partitionless=self.kernel is not None, member=self.member)

    def _as_it_is(self, workshop: ImageContext) -> BootableDisk:
        """A disk that is used where it is; qemu-img looks at it once, and again when it has changed."""
        disk, options = workshop.local(self.disk), self._options
        check_digest(self.sha256, disk.sha256, self.shown)
        known = cached_inspection(workshop.store, disk.sha256, options)
        if known:
            return known
        inspected = inspect_file(Path(self.disk), self.format, partitionless=options.partitionless)
        if inspected.format == "qcow2":
            from pragmaspec.images.formats.qemu_img import verify_qcow2  # noqa: PLC0415 - only for a disk that is new here

            verify_qcow2(Path(self.disk), inspected.virtual_size_bytes)
        if workshop.local(self.disk) != disk:
            raise changed_while_reading(Path(self.disk))
        made = BootableDisk(disk, inspected.format, inspected.virtual_size_bytes)
        cache_disk(workshop.store, disk.sha256, made, options)
        return made
