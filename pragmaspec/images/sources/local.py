"""Images in local files. Raw and qcow2 disks are used in place; all others are converted into the store."""

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

BOOTABLE_FORMATS = {"raw", "qcow2"}


class LocalSource(Frozen, frozen=True, tag_field="kind", tag="local"):
    """A disk in a file. Paths are absolute.

    ``shown`` is the path as the user wrote it; ``member`` is a path in the archive that the file is.
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
        """The path as the user wrote it, and the member."""
        return f"{self.shown}, member {self.member}" if self.member else self.shown

    def described(self) -> str:
        """Empty: the file determines the image."""
        return ""

    def find(self, context: ImageContext) -> VerifiedImage:
        """Read the files that changed since they were last read, and inspect the disk. Raises ImageError."""
        self._check_existence()
        disk = self._disk(context)
        return VerifiedImage(
            format=disk.format,
            virtual_size_bytes=disk.virtual_size_bytes,
            disk=disk.blob,
            kernel=context.local(self.kernel) if self.kernel else None,
            initrd=context.local(self.initrd) if self.initrd else None,
            cmdline=self.cmdline,
        )

    def _check_existence(self) -> None:
        hint = "" if Path(self.shown).is_absolute() else " Paths of images are relative to the spec."
        missing = [path for path in (self.disk, self.kernel, self.initrd) if path and not Path(path).exists()]
        if missing:
            raise ImageError.of(
                Problem(summary="Image cannot be read", detail=f"There is no file {path}.{hint}") for path in missing
            )

    def _disk(self, context: ImageContext) -> BootableDisk:
        with open_regular(Path(self.disk)) as file:
            formats = detect_formats(*head_and_tail(file))
        if not self.member and all(each.name in BOOTABLE_FORMATS or each.family == "other" for each in formats):
            return self._inspect_in_place(context)
        from pragmaspec.images.disks.streaming import make_disk_of_local_file  # noqa: PLC0415 - only conversion needs it

        return make_disk_of_local_file(
            Path(self.disk), context, self._options, lambda digest: check_digest(self.sha256, digest, self.shown)
        )

    @property
    def _options(self) -> DiskOptions:
        return DiskOptions(declared=self.format, partitionless=self.kernel is not None, member=self.member)

    def _inspect_in_place(self, context: ImageContext) -> BootableDisk:
        """Inspect a disk that is used in place, also with qemu-img; once per content."""
        blob, options = context.local(self.disk), self._options
        check_digest(self.sha256, blob.sha256, self.shown)
        known = cached_inspection(context.store, blob.sha256, options)
        if known:
            return known
        inspected = inspect_file(Path(self.disk), self.format, partitionless=options.partitionless)
        if inspected.format == "qcow2":
            from pragmaspec.images.formats.qemu_img import verify_qcow2  # noqa: PLC0415 - only for a new disk

            verify_qcow2(Path(self.disk), inspected.virtual_size_bytes)
        if context.local(self.disk) != blob:
            raise changed_while_reading(Path(self.disk))
        disk = BootableDisk(blob, inspected.format, inspected.virtual_size_bytes)
        cache_disk(context.store, blob.sha256, disk, options)
        return disk
