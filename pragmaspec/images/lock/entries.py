"""Between what is known of an image and its entry in the lock file; and why an entry does not count."""

from collections.abc import Iterable
from typing import Literal, Protocol

from msgspec.structs import replace

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.catalogue import CatalogueEntry
from pragmaspec.images.context import VerifiedImage
from pragmaspec.images.lock.lock_file import LOCK_FILE, LockEntry
from pragmaspec.images.store.fetched import compare_age
from pragmaspec.resources import image_fields

LockChangeKind = Literal["new", "same", "described", "moved", "removed"]
"""``described``: the image is the same, and only what is said of it has changed, such as its URL in the spec."""


class LockChange(Frozen, frozen=True):
    """What ``pragmaspec lock`` did with one image: ``entry`` is what the lock file has of it now.

    When it was removed, because the spec has that image no more, ``entry`` is what the file had. ``before``: what it had until
    now, None when nothing.
    """

    name: str
    change: LockChangeKind
    entry: LockEntry
    before: LockEntry | None = None


def change_kind(before: LockEntry | None, after: LockEntry) -> LockChangeKind:
    """What became of an image that stays in the spec."""
    if before is None:
        return "new"
    if before.digest != after.digest:
        return "moved"
    return "same" if before == after else "described"


def lock_entry(entry: CatalogueEntry, before: LockEntry | None) -> LockEntry:
    """The lock entry of an image; ``before`` itself when nothing but the day or the machine is different."""
    fetched = entry.fetched
    locked = LockEntry(
        described=entry.source.described(),
        digest=entry.digest,
        origin=entry.origin,
        url=fetched.url if fetched else "",
        version=fetched.version if fetched else "",
        published=fetched.published if fetched else "",
        signed_by=fetched.signed_by if fetched else "",
        fetched=fetched.blob if fetched else None,
        sha512=fetched.sha512 if fetched else "",
        **image_fields(entry),
        firmware=entry.firmware,
        packages=entry.packages,
        date=entry.date,
    )
    return before if before and _same_image(before, locked) else locked


def _same_image(before: LockEntry, now: LockEntry) -> bool:
    """Whether both are one image as one description gave it. A later transfer of the same bytes tells nothing new."""
    return all(getattr(before, each) == getattr(now, each) for each in ("described", "digest", "packages", "firmware"))


def resolved_from_lock(locked: LockEntry) -> VerifiedImage:
    """What the lock file says was found. Raises ImageError when it contradicts itself."""
    found = VerifiedImage(**image_fields(locked), packages=locked.packages, fetched=locked.transfer, firmware=locked.firmware)
    if found.digest != locked.digest:
        raise ImageError(
            "Lock file contradicts itself",
            f"In {LOCK_FILE} the digest is not that of disk, kernel, initrd and command line. Take the file back from "
            "version control, or delete the image's block to have it made anew.",
        )
    return found


class DiskShape(Protocol):
    """What a disk looks like to a node."""

    @property
    def format(self) -> str:
        """``qcow2`` or ``raw``."""
        ...

    @property
    def virtual_size_bytes(self) -> int:
        """Its length as a node sees it."""
        ...


def check_shape(said: DiskShape, shown: DiskShape) -> None:
    """Raises ImageError when what the lock file says of a disk is not what its bytes show; no digest covers it."""
    if (said.format, said.virtual_size_bytes) != (shown.format, shown.virtual_size_bytes):
        detail = (
            f"{LOCK_FILE} says that its disk is {said.format} with virtual_size_bytes = {said.virtual_size_bytes}, and the "
            f"bytes show {shown.format} with {shown.virtual_size_bytes}. Take the file back from version control, or delete the "
            "image's block and run `pragmaspec lock`."
        )
        raise ImageError("Lock file contradicts the image", detail)


def refuse_older(before: LockEntry | None, found: VerifiedImage) -> None:
    """Raises ImageError when a source gives something older than what is pinned: a stale mirror, or somebody's old holes."""
    known = before.transfer if before else None
    if before is None or known is None or found.fetched is None or found.fetched.blob == known.blob:
        return
    if compare_age(found.fetched, known) == "older":
        was = known.version or known.published[:10]
        now = found.fetched.version or found.fetched.published[:10]
        detail = (
            f"{before.origin} now gives {now}, and pinned is {was}, which is newer: a mirror that is not up to date, or somebody "
            "who wants you to run old software. The lock file stays as it is; --accept-older takes it all the same."
        )
        raise ImageError("Source serves an older file", detail)


def stale_lock_entry(described: str, locked: LockEntry | None) -> ImageError:
    """The error for an image whose entry is missing, or was made for another description."""
    if locked is None:
        detail = f"{LOCK_FILE} has no entry for it. `pragmaspec lock` makes one."
    else:
        detail = (
            f"The spec describes it otherwise than when {LOCK_FILE} was written: that entry is of {locked.origin}"
            f"{'' if described else ', and now a local file decides'}. `pragmaspec lock` brings the file up to date."
        )
    return ImageError("Image is not as in the lock file", detail)


def not_pinned(origin: str) -> ImageError:
    """The error for what nobody vouches for, neither the spec, nor a publisher, nor the lock file."""
    detail = (
        f"Nothing says yet which bytes {origin} has to give, as the spec has it now. `pragmaspec lock` looks at it once and "
        f"writes that into {LOCK_FILE}; for a single file `sha256` in the spec will also do."
    )
    return ImageError("Image is not pinned", detail)


def differs_from_lock(locked: LockEntry, digest: str) -> ImageError:
    """The error for a local image that is not the pinned one."""
    detail = (
        f"{locked.origin} has the digest {digest[:16]}…, and {LOCK_FILE} says {locked.digest[:16]}… (of {locked.date}). Take the "
        "file back, or pin the new one with `pragmaspec lock --upgrade`."
    )
    return ImageError("Image is not as in the lock file", detail)


def unused_lock_entries(names: Iterable[str]) -> ImageError:
    """The error for entries of images that the spec has no more."""
    listed = ", ".join(sorted(names))
    detail = f"{LOCK_FILE} has entries of images that the spec does not have: {listed}. `pragmaspec lock` removes them."
    return ImageError("Lock file is not up to date", detail)


def with_location(error: ImageError, name: str, where: object) -> ImageError:
    """The same problems, each with the image's name and its place in the spec, unless it has a place of its own."""
    return ImageError.of(
        problem if problem.where or not name else replace(problem, where=where, summary=summary_for_image(problem.summary, name))
        for problem in error.problems
    )


def summary_for_image(summary: str, image: str) -> str:
    """A title that says which image it is about: ``Image web is not pinned``, ``Folder cannot be read (image web)``."""
    about = "Image "
    return f"{about}{image} {summary.removeprefix(about)}" if summary.startswith(about) else f"{summary} (image {image})"
