"""Lock entries of images: made from the catalogue, compared, and checked."""

from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from pragmaspec.errors import ImageError, Where
from pragmaspec.frozen import Frozen
from pragmaspec.images.catalogue import CatalogueEntry
from pragmaspec.images.context import VerifiedImage
from pragmaspec.images.formats.inspect import BootDisk
from pragmaspec.images.lock.lock_file import LOCK_FILE, LockEntry, SitePin
from pragmaspec.images.store.fetched import compare_age
from pragmaspec.resources import BootImage, image_fields

LockChangeKind = Literal["new", "same", "described", "moved", "removed"]
"""``described``: the image is the same, but its description has changed, such as its URL in the spec."""


class LockChange(Frozen, frozen=True):
    """The result of ``pragmaspec lock`` for one image. ``entry``: its entry in the lock file, or the removed one.

    ``before``: its previous entry, if any.
    """

    name: str
    change: LockChangeKind
    entry: LockEntry
    before: LockEntry | None = None


class SitePinChange(Frozen, frozen=True):
    """The result of ``pragmaspec lock`` for one image at a site where it lives; fields as in :class:`LockChange`."""

    name: str
    site: str
    change: LockChangeKind
    pin: SitePin
    before: SitePin | None = None


class ProcessorChange(Frozen, frozen=True):
    """The result of ``pragmaspec lock`` for the processor of new nodes at one site: the pinned one, or the removed one.

    ``before``: its previous pin, empty if it had none.
    """

    site: str
    change: LockChangeKind
    processor: str
    before: str = ""


def pin_change_kind(before: SitePin | None, after: SitePin) -> LockChangeKind:
    """Return the kind of change of the pin of an image at a site. A later date alone is none."""
    if before is None:
        return "new"
    if (before.digest, before.checksum) != (after.digest, after.checksum):
        return "moved"
    return "same" if replace(before, date=after.date) == after else "described"


def change_kind(before: LockEntry | None, after: LockEntry) -> LockChangeKind:
    """Return the kind of change of an image that stays in the spec."""
    if before is None:
        return "new"
    if before.digest != after.digest:
        return "moved"
    return "same" if before == after else "described"


def lock_entry(entry: CatalogueEntry, before: LockEntry | None) -> LockEntry:
    """Return the lock entry of an image; ``before`` itself if only date or URL differ."""
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
    """True if both are the same image with the same description. A later transfer of the same bytes is not a change."""
    return all(getattr(before, each) == getattr(now, each) for each in ("described", "digest", "packages", "firmware"))


def resolved_from_lock(locked: LockEntry) -> VerifiedImage:
    """Return the image of a lock entry. Raises ImageError if the entry contradicts itself."""
    found = VerifiedImage(**image_fields(locked), packages=locked.packages, fetched=locked.transfer, firmware=locked.firmware)
    if found.digest != locked.digest:
        raise ImageError(
            "Lock file contradicts itself",
            f"In {LOCK_FILE} the digest does not match disk, kernel, initrd and command line. Restore the file from version "
            "control, or delete the image's block to resolve it again.",
        )
    return found


def check_shape(locked: BootImage, found: BootImage | BootDisk) -> None:
    """Raises ImageError if format or size of a disk differ from the lock file; no digest covers them."""
    if (locked.format, locked.virtual_size_bytes) != (found.format, found.virtual_size_bytes):
        detail = (
            f"In {LOCK_FILE} its disk is {locked.format} with virtual_size_bytes = {locked.virtual_size_bytes}, but its bytes "
            f"are {found.format} with {found.virtual_size_bytes}. Restore the file from version control, or delete the image's "
            "block and run `pragmaspec lock`."
        )
        raise ImageError("Lock file contradicts the image", detail)


def refuse_older(before: LockEntry | None, found: VerifiedImage) -> None:
    """Raises ImageError if a source serves an older file than the locked one: a stale mirror, or a downgrade attack."""
    known = before.transfer if before else None
    if before is None or known is None or found.fetched is None or found.fetched.blob == known.blob:
        return
    if compare_age(found.fetched, known) == "older":
        locked = known.version or known.published[:10]
        served = found.fetched.version or found.fetched.published[:10]
        detail = (
            f"{before.origin} now serves {served}, but the newer {locked} is locked: a mirror is out of date, or an attacker "
            "offers old software with known vulnerabilities. The lock file is unchanged; --accept-older accepts the file."
        )
        raise ImageError("Source serves an older file", detail)


def stale_lock_entry(described: str, locked: LockEntry | None) -> ImageError:
    """Return the error for an image whose entry is missing, or was made for another description."""
    if locked is None:
        detail = f"{LOCK_FILE} has no entry for it. `pragmaspec lock` adds one."
    else:
        detail = (
            f"Its description in the spec has changed since {LOCK_FILE} was written: that entry is for {locked.origin}"
            f"{'' if described else ', and now a local file decides'}. `pragmaspec lock` updates the file."
        )
    return ImageError("Image is not as in the lock file", detail)


def not_pinned(origin: str) -> ImageError:
    """Return the error for an image without a digest from the spec, from a publisher, or from the lock file."""
    detail = (
        f"There is no digest for {origin} as the spec describes it. `pragmaspec lock` resolves it once and records the digest in "
        f"{LOCK_FILE}; for a single file, `sha256` in the spec is enough."
    )
    return ImageError("Image is not pinned", detail)


def differs_from_lock(locked: LockEntry, digest: str) -> ImageError:
    """Return the error for a local image that is not the locked one."""
    detail = (
        f"{locked.origin} has the digest {digest[:16]}…, but {LOCK_FILE} has {locked.digest[:16]}… (of {locked.date}). Restore "
        "the file, or lock the new one with `pragmaspec lock --upgrade`."
    )
    return ImageError("Image is not as in the lock file", detail)


def unused_lock_entries(names: Iterable[str]) -> ImageError:
    """Return the error for entries of images that are not in the spec."""
    listed = ", ".join(sorted(names))
    detail = f"{LOCK_FILE} has entries of images that are not in the spec: {listed}. `pragmaspec lock` removes them."
    return ImageError("Lock file is not up to date", detail)


def with_location(error: ImageError, name: str, where: Where | None) -> ImageError:
    """Return the same problems with the image's name and its position in the spec, unless they have a position."""
    return ImageError.of(
        problem if problem.where or not name else replace(problem, where=where, summary=summary_for_image(problem.summary, name))
        for problem in error.problems
    )


def summary_for_image(summary: str, image: str) -> str:
    """Add an image name to a summary: ``Image web is not pinned``, ``Folder cannot be read (image web)``."""
    prefix = "Image "
    return f"{prefix}{image} {summary.removeprefix(prefix)}" if summary.startswith(prefix) else f"{summary} (image {image})"
