"""Images of the spec, resolved to digests and to files on this machine."""

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
    """The images of this user, in ``store_dir``; shared by all stacks. May be used from several threads and processes at once.

    ``locked``: take images only as the lock file has them; write nothing into it, and refuse whatever differs.
    """

    def __init__(self, store_dir: Path, *, locked: bool = False, policy: TransferPolicy | None = None) -> None:
        self._store = BlobStore(store_dir)
        self._catalogue = Catalogue(self._store)
        self._policy = policy
        self.locked = locked

    @property
    def lasting(self) -> bool:
        """True if resolved images are kept for later processes; False if the store cannot be written."""
        return self._store.lasting

    def resolve(
        self, model: "ImageModel", name: str, directory: Path, where: Where | None = None, reporter: ImageReporter | None = None
    ) -> WantedImage:
        """The image ``name`` of a spec in ``directory``, with its digest.

        Downloads or builds it when neither the lock file nor the store knows it, and writes the lock file then. Raises
        ImageError, with ``where`` as the place.
        """
        source = source_of(model, directory)
        try:
            if self.locked:
                found = self._as_locked(source, name, directory, reporter)
            else:
                found = self._known(source, name, directory) or self._new(source, name, reporter)
            found, boots = with_detected_firmware(found, self._path(found.disk))
            firmware = choose_firmware(model.firmware, found, boots)
            entry = self._keep(source, name, found)
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
            archs=boots.uefi if boots and firmware == "uefi" else (),
            unbootable=boots.unbootable if boots and boots.has_esp else "",
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
        """Put the image into the lock file: an entry that counts stays, unless ``upgrade``, which asks the source again.

        What nobody vouches for is taken as its source gives it, on first use. Raises ImageError, with ``where`` as the place; the
        lock file is then as it was.
        """
        source = source_of(model, directory)
        before = read_lock(directory).get(name)
        try:
            counts = before is not None and before.described == source.described()
            if before is not None and counts and not upgrade:
                self._check_local(source, name, before, reporter)
                return LockChange(name=name, change="same", entry=before, before=before)
            found = None if upgrade else self._in_store(source)
            found = found or source.find(self._workshop(name, reporter, first_use=True))
            if counts and not accept_older:
                refuse_older(before, found)
            found, boots = with_detected_firmware(found, self._path(found.disk))
            choose_firmware(model.firmware, found, boots)
            after = lock_entry(self._keep(source, name, found), before)
            write_lock(directory, name, after)
        except ImageError as error:
            raise with_location(error, name, where) from None
        return LockChange(name=name, change=change_kind(before, after), entry=after, before=before)

    def remove_stale(self, directory: Path, names: Iterable[str]) -> tuple[LockChange, ...]:
        """Remove the lock entries of all images but ``names``. With ``locked``, raises ImageError when there are any."""
        known = set(names)
        gone = {name: entry for name, entry in read_lock(directory).items() if name not in known}
        if gone and self.locked:
            raise unused_lock_entries(gone)
        remove_from_lock(directory, gone)
        return tuple(LockChange(name=name, change="removed", entry=gone[name], before=gone[name]) for name in sorted(gone))

    def files(self, image: WantedImage, reporter: ImageReporter | None = None) -> ImageFiles:
        """The image's bytes on this machine, verified; downloaded or built when they are not here. Raises ImageError."""
        try:
            found = self._present(image)
            if found is None:
                self._fetch(image, reporter)
                found = self._present(image)
        except ImageError as error:
            raise with_location(error, image.name, image.where) from None
        if found is None:
            raise with_location(_other_bytes(image), image.name, image.where)
        return found

    def public_copy(self, image: WantedImage) -> PublicCopy | None:
        """Where else the image's disk can be had, if everybody may. Raises ImageError when the user's settings are wrong."""
        from pragmaspec.images.public_copy import public_url  # noqa: PLC0415 - only what is staged far away needs it

        entry = self._catalogue.get(image.digest)
        url = public_url(entry) if entry is not None else ""
        return PublicCopy(url=url, here=self._present(image) is not None) if url else None

    def unbootable_reason(self, image: WantedImage) -> str:
        """The reason why nothing starts the image's disk; empty when something does, or it is not on this machine."""
        file = None if image.kernel else self._path(image.disk)
        boots = boot_support_of_file(file) if file else None
        return boots.unbootable if boots and not boots.has_esp else ""

    def entries(self) -> tuple[CatalogueEntry, ...]:
        """The images whose bytes are on this machine, the newest first."""
        return tuple(entry for entry in self._catalogue.all() if all(self._path(blob) for blob in entry.blobs))

    def packages(self, digest: str) -> tuple[str, ...]:
        """The packages of a built image, sorted, as ``name=version=architecture``; none when they are not known."""
        entry = self._catalogue.get(digest)
        if entry is None or not entry.packages or not self._store.path(entry.packages).exists():
            return ()
        return tuple(self._store.path(entry.packages).read_text(encoding="utf-8").split())

    def _known(self, source: AnySource, name: str, directory: Path) -> VerifiedImage | None:
        """What the lock file says of ``source``, else the newest image of it that the store holds whole."""
        described = source.described()
        if not described:
            return None
        locked = read_lock(directory).get(name)
        if locked and locked.described == described:
            return self._pinned(locked)
        return self._in_store(source)

    def _in_store(self, source: AnySource) -> VerifiedImage | None:
        """The newest image of ``source`` that the store holds whole, when it is as good as what the source itself would give."""
        if not source.described() or may_change(source):
            return None
        return next(
            (entry.found for entry in self._catalogue.all() if entry.source == source and all(map(self._store.has, entry.blobs))),
            None,
        )

    def _new(self, source: AnySource, name: str, reporter: ImageReporter | None) -> VerifiedImage:
        """What the source gives now, when somebody vouches for it."""
        if needs_lock(source):
            raise not_pinned(source.origin())
        return source.find(self._workshop(name, reporter))

    def _as_locked(self, source: AnySource, name: str, directory: Path, reporter: ImageReporter | None) -> VerifiedImage:
        """What the lock file says, and nothing else."""
        locked = read_lock(directory).get(name)
        if locked is None or locked.described != source.described():
            raise stale_lock_entry(source.described(), locked)
        return self._pinned(locked) if locked.described else self._check_local(source, name, locked, reporter)

    def _pinned(self, locked: LockEntry) -> VerifiedImage:
        """What the lock file says. Raises ImageError when it contradicts itself, or the bytes where they are here."""
        found = resolved_from_lock(locked)
        if self._store.has(found.disk):
            with open_regular(self._store.path(found.disk.sha256)) as window:
                check_shape(found, read_disk_header(window))
        return found

    def _check_local(self, source: AnySource, name: str, locked: LockEntry, reporter: ImageReporter | None) -> VerifiedImage:
        """What is pinned; where local files decide, they have to be the pinned ones."""
        if locked.described:
            return self._pinned(locked)
        found = source.find(self._workshop(name, reporter))
        if found.digest != locked.digest:
            raise differs_from_lock(locked, found.digest)
        return found

    def _keep(self, source: AnySource, name: str, found: VerifiedImage) -> CatalogueEntry:
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

    def _present(self, image: WantedImage) -> ImageFiles | None:
        """The files of all the image's blobs, or None when one is missing."""
        disk = self._path(image.disk)
        kernel = self._path(image.kernel) if image.kernel else None
        initrd = self._path(image.initrd) if image.initrd else None
        if disk is None or (image.kernel and kernel is None) or (image.initrd and initrd is None):
            return None
        return ImageFiles(disk=disk, kernel=kernel, initrd=initrd)

    def _path(self, blob: Blob) -> Path | None:
        if self._store.has(blob):
            return self._store.path(blob.sha256)
        return self._workshop("", None).digests.find(blob)

    def _fetch(self, image: WantedImage, reporter: ImageReporter | None) -> None:
        entry = self._catalogue.get(image.digest)
        if entry is None:
            raise ImageError(
                "Image is not known here",
                f"Its bytes are not in {self._store.directory}, nor is it known where they come from. Plan again with the spec.",
            )
        found = entry.source.find(self._workshop(image.name, reporter, pinned=entry.fetched))
        if found.disk == image.disk:
            check_shape(image, found)

    def _workshop(
        self, name: str, reporter: ImageReporter | None, *, pinned: Fetched | None = None, first_use: bool = False
    ) -> ImageContext:
        return ImageContext(
            self._store, name, reporter or ImageReporter(), policy=self._policy, pinned=pinned, first_use=first_use
        )


def _other_bytes(image: WantedImage) -> ImageError:
    return ImageError(
        "Image has changed",
        f"The plan wants {image.digest[:16]}…, and {image.origin} does not give that any more: a file was replaced "
        f"since, or the mirror has newer packages than {LOCK_FILE} tells. Plan again; for a built image first take the new "
        "one with `pragmaspec lock --upgrade`, or copy its files from the machine that built it, or give `snapshot` in the "
        "spec.",
    )
