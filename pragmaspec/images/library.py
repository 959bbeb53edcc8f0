"""Resolves the images of a spec to digests, and to files on this machine."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError, Where
from pragmaspec.images.catalogue import Catalogue, CatalogueEntry
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.firmware.choose import choose_firmware, with_detected_firmware
from pragmaspec.images.firmware.detect import boot_support_of_file
from pragmaspec.images.formats.inspect import read_disk_header
from pragmaspec.images.formats.random_access import open_regular
from pragmaspec.images.lock.entries import (
    LockChange,
    change_kind,
    check_shape,
    differs_from_lock,
    lock_entry,
    not_pinned,
    refuse_older,
    resolved_from_lock,
    stale_lock_entry,
    unused_lock_entries,
    with_location,
)
from pragmaspec.images.lock.lock_file import LOCK_FILE, LockEntry, read_lock, remove_from_lock, write_lock
from pragmaspec.images.reporter import ImageFiles, ImageReporter
from pragmaspec.images.sources.registry import AnySource, may_change, needs_lock, source_of
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.planning.wanted import PublicCopy, WantedImage
from pragmaspec.resources import Blob, image_fields

if TYPE_CHECKING:
    from pragmaspec.spec.models.image import ImageModel


class ImageLibrary:
    """The images of this user, in ``store_dir``; shared by all stacks. Safe for concurrent threads and processes.

    ``locked``: use images only as in the lock file; do not change it, and refuse any difference.
    """

    def __init__(self, store_dir: Path, *, locked: bool = False, policy: TransferPolicy | None = None) -> None:
        self._store = BlobStore(store_dir)
        self._catalogue = Catalogue(self._store)
        self._policy = policy
        self.locked = locked

    @property
    def lasting(self) -> bool:
        """True if resolved images are stored for later processes; False if the store is not writable."""
        return self._store.lasting

    def resolve(
        self, model: "ImageModel", name: str, directory: Path, where: Where | None = None, reporter: ImageReporter | None = None
    ) -> WantedImage:
        """Return the image ``name`` of a spec in ``directory``, with its digest.

        Downloads or builds it if neither the lock file nor the store has it, and updates the lock file. Raises ImageError at
        ``where``.
        """
        source = source_of(model, directory)
        try:
            if self.locked:
                found = self._from_lock(source, name, directory, reporter)
            else:
                found = self._known_image(source, name, directory) or self._resolve_source(source, name, reporter)
            found, support = with_detected_firmware(found, self._path(found.disk))
            firmware = choose_firmware(model.firmware, found, support)
            entry = self._record(source, name, found)
            if source.described() and not self.locked:
                write_lock(directory, name, lock_entry(entry, read_lock(directory).get(name)))
        except ImageError as error:
            raise with_location(error, name, where) from None
        return WantedImage(
            name=name,
            origin=entry.origin,
            digest=entry.digest,
            **image_fields(entry),
            cloud_init=model.guest == "cloud-init",
            firmware=firmware,
            archs=support.uefi if support and firmware == "uefi" else (),
            unbootable=support.unbootable if support and support.has_esp else "",
            where=where,
        )

    def lock(
        self,
        model: "ImageModel",
        name: str,
        directory: Path,
        where: Where | None = None,
        reporter: ImageReporter | None = None,
        *,
        upgrade: bool = False,
        accept_older: bool = False,
    ) -> LockChange:
        """Put the image into the lock file. A valid entry is kept, unless ``upgrade`` resolves the source again.

        An image without a published digest is trusted on first use. Raises ImageError at ``where``; the lock file is then
        unchanged.
        """
        source = source_of(model, directory)
        before = read_lock(directory).get(name)
        try:
            valid = before is not None and before.described == source.described()
            if before is not None and valid and not upgrade:
                self._check_local(source, name, before, reporter)
                return LockChange(name=name, change="same", entry=before, before=before)
            found = None if upgrade else self._in_store(source)
            found = found or source.find(self._context(name, reporter, first_use=True))
            if valid and not accept_older:
                refuse_older(before, found)
            found, support = with_detected_firmware(found, self._path(found.disk))
            choose_firmware(model.firmware, found, support)
            after = lock_entry(self._record(source, name, found), before)
            write_lock(directory, name, after)
        except ImageError as error:
            raise with_location(error, name, where) from None
        return LockChange(name=name, change=change_kind(before, after), entry=after, before=before)

    def remove_stale(self, directory: Path, names: Iterable[str]) -> tuple[LockChange, ...]:
        """Remove the lock entries of images other than ``names``. With ``locked``, raises ImageError if there are any."""
        known = set(names)
        stale = {name: entry for name, entry in read_lock(directory).items() if name not in known}
        if stale and self.locked:
            raise unused_lock_entries(stale)
        remove_from_lock(directory, stale)
        return tuple(LockChange(name=name, change="removed", entry=stale[name], before=stale[name]) for name in sorted(stale))

    def files(self, image: WantedImage, reporter: ImageReporter | None = None) -> ImageFiles:
        """Return the verified files of the image, downloading or building it if necessary. Raises ImageError."""
        try:
            found = self._local_files(image)
            if found is None:
                self._fetch(image, reporter)
                found = self._local_files(image)
        except ImageError as error:
            raise with_location(error, image.name, image.where) from None
        if found is None:
            raise with_location(_changed(image), image.name, image.where)
        return found

    def public_copy(self, image: WantedImage) -> PublicCopy | None:
        """Return the public URL of the image's disk, if any. Raises ImageError if the user's settings are invalid."""
        from pragmaspec.images.public_copy import public_url  # noqa: PLC0415 - needed for remote sites only

        entry = self._catalogue.get(image.digest)
        url = public_url(entry) if entry is not None else ""
        return PublicCopy(url=url, here=self._local_files(image) is not None) if url else None

    def unbootable_reason(self, image: WantedImage) -> str:
        """Return why the image's disk cannot boot; empty if it can, or is not on this machine."""
        file = None if image.kernel else self._path(image.disk)
        support = boot_support_of_file(file) if file else None
        return support.unbootable if support and not support.has_esp else ""

    def entries(self) -> tuple[CatalogueEntry, ...]:
        """Return the images with all files on this machine, the newest first."""
        return tuple(entry for entry in self._catalogue.all() if all(self._path(blob) for blob in entry.blobs))

    def packages(self, digest: str) -> tuple[str, ...]:
        """Return the packages of a built image, sorted, as ``name=version=architecture``; none if they are unknown."""
        entry = self._catalogue.get(digest)
        if entry is None or not entry.packages or not self._store.path(entry.packages).exists():
            return ()
        return tuple(self._store.path(entry.packages).read_text(encoding="utf-8").split())

    def _known_image(self, source: AnySource, name: str, directory: Path) -> VerifiedImage | None:
        """Return the image of ``source`` from the lock file, else the newest one in the store."""
        described = source.described()
        if not described:
            return None
        locked = read_lock(directory).get(name)
        if locked and locked.described == described:
            return self._locked_image(locked)
        return self._in_store(source)

    def _in_store(self, source: AnySource) -> VerifiedImage | None:
        """Return the newest complete image of ``source`` in the store, if the source would provide the same."""
        if not source.described() or may_change(source):
            return None
        return next(
            (entry.found for entry in self._catalogue.all() if entry.source == source and all(map(self._store.has, entry.blobs))),
            None,
        )

    def _resolve_source(self, source: AnySource, name: str, reporter: ImageReporter | None) -> VerifiedImage:
        """Resolve the source, if its image has a digest from the spec or from a publisher."""
        if needs_lock(source):
            raise not_pinned(source.origin())
        return source.find(self._context(name, reporter))

    def _from_lock(self, source: AnySource, name: str, directory: Path, reporter: ImageReporter | None) -> VerifiedImage:
        """Return the image from the lock file. Raises ImageError if it has none."""
        locked = read_lock(directory).get(name)
        if locked is None or locked.described != source.described():
            raise stale_lock_entry(source.described(), locked)
        return self._locked_image(locked) if locked.described else self._check_local(source, name, locked, reporter)

    def _locked_image(self, locked: LockEntry) -> VerifiedImage:
        """Return the locked image. Raises ImageError if its entry contradicts itself, or its bytes in the store."""
        found = resolved_from_lock(locked)
        if self._store.has(found.disk):
            with open_regular(self._store.path(found.disk.sha256)) as disk:
                check_shape(found, read_disk_header(disk))
        return found

    def _check_local(self, source: AnySource, name: str, locked: LockEntry, reporter: ImageReporter | None) -> VerifiedImage:
        """Return the locked image; local files must be the locked ones."""
        if locked.described:
            return self._locked_image(locked)
        found = source.find(self._context(name, reporter))
        if found.digest != locked.digest:
            raise differs_from_lock(locked, found.digest)
        return found

    def _record(self, source: AnySource, name: str, found: VerifiedImage) -> CatalogueEntry:
        entry = CatalogueEntry(
            name=name,
            digest=found.digest,
            origin=source.origin(),
            source=source,
            date=datetime.now(UTC).date().isoformat(),
            **image_fields(found, VerifiedImage),
        )
        self._catalogue.put(entry)
        return entry

    def _local_files(self, image: WantedImage) -> ImageFiles | None:
        """Return the files of the image, None if one is missing."""
        disk = self._path(image.disk)
        kernel = self._path(image.kernel) if image.kernel else None
        initrd = self._path(image.initrd) if image.initrd else None
        if disk is None or (image.kernel and kernel is None) or (image.initrd and initrd is None):
            return None
        return ImageFiles(disk=disk, kernel=kernel, initrd=initrd)

    def _path(self, blob: Blob) -> Path | None:
        return self._context("", None).find(blob)

    def _fetch(self, image: WantedImage, reporter: ImageReporter | None) -> None:
        entry = self._catalogue.get(image.digest)
        if entry is None:
            raise ImageError(
                "Image is unknown",
                f"{self._store.directory} has neither its bytes nor its source. Plan again with the spec.",
            )
        found = entry.source.find(self._context(image.name, reporter, pinned=entry.fetched))
        if found.disk == image.disk:
            check_shape(image, found)

    def _context(
        self, name: str, reporter: ImageReporter | None, *, pinned: Fetched | None = None, first_use: bool = False
    ) -> ImageContext:
        return ImageContext(
            self._store, name, reporter or ImageReporter(), policy=self._policy, pinned=pinned, first_use=first_use
        )


def _changed(image: WantedImage) -> ImageError:
    return ImageError(
        "Image has changed",
        f"The plan needs {image.digest[:16]}…, which {image.origin} does not provide any more: a file was replaced, or the "
        f"mirror has newer packages than {LOCK_FILE}. Plan again. For a built image, lock the new one with `pragmaspec lock "
        "--upgrade`, copy its files from the machine that built it, or set `snapshot` in the spec first.",
    )
