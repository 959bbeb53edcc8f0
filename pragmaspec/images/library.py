"""Images of the spec, resolved to digests and to files on this machine."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pragmaspec.errors import ImageError, Problem, Where
from pragmaspec.images.catalogue import Catalogue, Entry
from pragmaspec.images.files import ImageFiles
from pragmaspec.images.lock import LOCK_FILE, Locked, read_lock, write_lock
from pragmaspec.images.pin import pin
from pragmaspec.images.progress import ImageReporter
from pragmaspec.images.sources.base import Found, Workshop
from pragmaspec.images.sources.table import AnySource, source_of
from pragmaspec.images.store import BlobStore
from pragmaspec.planning.wanted import WantedImage
from pragmaspec.recorded import Blob

if TYPE_CHECKING:
    from pragmaspec.spec.image_model import ImageModel


class ImageLibrary:
    """The images of this user, in ``store_dir``; shared by all stacks. May be used from several threads and processes at once."""

    def __init__(self, store_dir: Path) -> None:
        self._store = BlobStore(store_dir)
        self._catalogue = Catalogue(self._store)

    def resolve(
        self, model: "ImageModel", name: str, directory: Path, where: Where | None = None, reporter: ImageReporter | None = None
    ) -> WantedImage:
        """The image ``name`` of a spec in ``directory``, with its digest.

        Downloads or builds it when neither the lock file nor the store knows it, and writes the lock file then. Raises
        ImageError, with ``where`` as the place.
        """
        source = source_of(model, directory)
        try:
            found = self._known(source, name, directory) or source.find(self._workshop(name, reporter))
            entry = self._keep(source, name, found)
            if source.described():
                write_lock(directory, name, _locked(entry, read_lock(directory).get(name)))
        except ImageError as error:
            raise _placed(error, name, where) from None
        return WantedImage(
            name=name,
            origin=entry.origin,
            digest=entry.digest,
            format=entry.format,
            disk=entry.disk,
            virtual_size_bytes=entry.virtual_size_bytes,
            kernel=entry.kernel,
            initrd=entry.initrd,
            cmdline=entry.cmdline,
            where=where,
        )

    def files(self, image: WantedImage, reporter: ImageReporter | None = None) -> ImageFiles:
        """The image's bytes on this machine, verified; downloaded or built when they are not here. Raises ImageError."""
        try:
            found = self._present(image)
            if found is None:
                self._fetch(image, reporter)
                found = self._present(image)
        except ImageError as error:
            raise _placed(error, image.name, image.where) from None
        if found is None:
            raise _placed(_other_bytes(image), image.name, image.where)
        return found

    def entries(self) -> tuple[Entry, ...]:
        """The images whose bytes are on this machine, the newest first."""
        return tuple(entry for entry in self._catalogue.all() if all(self._path(blob) for blob in entry.blobs))

    def packages(self, digest: str) -> tuple[str, ...]:
        """The packages of a built image, sorted, as ``name=version=architecture``; none when they are not known."""
        entry = self._catalogue.get(digest)
        if entry is None or not entry.packages or not self._store.path(entry.packages).exists():
            return ()
        return tuple(self._store.path(entry.packages).read_text(encoding="utf-8").split())

    def _known(self, source: AnySource, name: str, directory: Path) -> Found | None:
        """What the lock file says of ``source``, else the newest image of it that the store holds whole."""
        described = source.described()
        if not described:
            return None
        locked = read_lock(directory).get(name)
        if locked and locked.described == described:
            return _found(locked)
        return next(
            (entry.found for entry in self._catalogue.all() if entry.source == source and all(map(self._store.has, entry.blobs))),
            None,
        )

    def _keep(self, source: AnySource, name: str, found: Found) -> Entry:
        entry = Entry(
            name=name,
            digest=pin(found.disk, found.kernel, found.initrd, found.cmdline),
            origin=source.origin(),
            source=source,
            format=found.format,
            virtual_size_bytes=found.virtual_size_bytes,
            disk=found.disk,
            kernel=found.kernel,
            initrd=found.initrd,
            cmdline=found.cmdline,
            packages=found.packages,
            date=datetime.now(UTC).date().isoformat(),
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
                Problem(
                    summary="image is not known here",
                    detail=f"Its bytes are not in {self._store.directory}, nor is it known where they come from. "
                    "Plan again with the spec.",
                )
            )
        entry.source.find(self._workshop(image.name, reporter))

    def _workshop(self, name: str, reporter: ImageReporter | None) -> Workshop:
        return Workshop(self._store, name, reporter or ImageReporter())


def _locked(entry: Entry, before: Locked | None) -> Locked:
    locked = Locked(
        described=entry.source.described(),
        digest=entry.digest,
        origin=entry.origin,
        format=entry.format,
        virtual_size_bytes=entry.virtual_size_bytes,
        disk=entry.disk,
        kernel=entry.kernel,
        initrd=entry.initrd,
        cmdline=entry.cmdline,
        packages=entry.packages,
        date=entry.date,
    )
    # The lock file changes when the image does, and not with the day or the machine.
    return before if before and replace(before, date=locked.date, origin=locked.origin) == locked else locked


def _found(locked: Locked) -> Found:
    found = Found(
        format=locked.format,
        virtual_size_bytes=locked.virtual_size_bytes,
        disk=locked.disk,
        kernel=locked.kernel,
        initrd=locked.initrd,
        cmdline=locked.cmdline,
        packages=locked.packages,
    )
    if pin(found.disk, found.kernel, found.initrd, found.cmdline) != locked.digest:
        raise ImageError(
            Problem(
                summary="lock file contradicts itself",
                detail=f"In {LOCK_FILE} the digest is not that of disk, kernel, initrd and command line. Take the file back from "
                "version control, or delete the image's block to have it made anew.",
            )
        )
    return found


def _other_bytes(image: WantedImage) -> ImageError:
    return ImageError(
        Problem(
            summary="image has changed",
            detail=f"The plan wants {image.digest[:16]}…, and {image.origin} does not give that any more: a file was replaced "
            f"since, or the mirror has newer packages than {LOCK_FILE} tells. Plan again; for a built image first delete its "
            f"block from {LOCK_FILE}, or copy its files from the machine that built it, or give `snapshot` in the spec.",
        )
    )


def _placed(error: ImageError, name: str, where: Where | None) -> ImageError:
    """The same problems, each with the image's name and its place in the spec."""
    return ImageError(
        *(
            replace(problem, where=problem.where or where, summary=f"{problem.summary}: {name}") if name else problem
            for problem in error.problems
        )
    )
