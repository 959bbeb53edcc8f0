"""What sources on the network have in common: several places for one file, what vouches for it, one transfer for all."""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.store.blobs import disk_full_as_error
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions, cached_disk
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.images.store.transfer_cache import CachedTransfer, cache_transfer, cached_transfer
from pragmaspec.images.transfer.digest_checks import changed_file_error, check_digest
from pragmaspec.images.transfer.download import DownloadResult, download
from pragmaspec.images.transfer.http import RemoteFile
from pragmaspec.net.urls import redact_url
from pragmaspec.resources import Blob


class ExpectedDigest(Frozen, frozen=True):
    """What is known of a file before it is here, and who says so: the lock file, the spec, or the publisher.

    Without a digest nobody vouches for it. ``version``: as its publisher calls it; ``signed_by``: a key's fingerprint.
    """

    by: Literal["lock", "spec", "publisher", "nobody"]
    sha256: str = ""
    sha512: str = ""
    version: str = ""
    signed_by: str = ""

    @property
    def key(self) -> str:
        """A name for the file; empty when any file would do."""
        return self.sha256 or (f"sha512-{self.sha512}" if self.sha512 else "")


class DeclaredDisk(Frozen, frozen=True):
    """What the spec says of the disk beside where it is. Kernel and initrd are local files, by absolute path."""

    format: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    member: str = ""

    @property
    def options(self) -> DiskOptions:
        """How to read the file."""
        return DiskOptions(declared=self.format, partitionless=self.kernel is not None, member=self.member)


def digest_from_lock(workshop: ImageContext) -> ExpectedDigest | None:
    """What the lock file says, when it does."""
    pinned = workshop.pinned
    if pinned is None:
        return None
    return ExpectedDigest(by="lock", sha256=pinned.blob.sha256, version=pinned.version, signed_by=pinned.signed_by)


def fetch_disk(
    workshop: ImageContext,
    addresses: Callable[[], Iterable[RemoteFile]],
    promise: ExpectedDigest,
    shape: DeclaredDisk,
    origin: str,
) -> VerifiedImage:
    """The disk at the first of ``addresses`` that gives what was promised; nothing is asked when the store has it.

    Raises ImageError with what was wrong at every address.
    """
    if promise.by == "nobody" and not workshop.first_use:
        detail = f"Nothing says which bytes {origin} has to give: neither a digest, nor its publisher, nor the lock file."
        raise ImageError("Image is not pinned", detail)
    key = promise.key or f"url-{sha256(origin.encode()).hexdigest()}"
    with workshop.store.locked(key):
        before = _before(workshop, key, shape)
        if before is None or not promise.key:
            before = _bring(workshop, tuple(addresses()), promise, shape, key, before)
    made = before.made
    return VerifiedImage(
        format=made.format,
        virtual_size_bytes=made.virtual_size_bytes,
        disk=made.blob,
        kernel=workshop.local(shape.kernel) if shape.kernel else None,
        initrd=workshop.local(shape.initrd) if shape.initrd else None,
        cmdline=shape.cmdline,
        fetched=before.transfer.fetched,
    )


class _Here(NamedTuple):
    """What was transferred, and the disk in the store that was made of it."""

    transfer: CachedTransfer
    made: BootableDisk


def _before(workshop: ImageContext, key: str, shape: DeclaredDisk) -> _Here | None:
    """What is here already."""
    transfer = cached_transfer(workshop.store, key)
    if transfer is None:
        return None
    made = cached_disk(workshop.store, transfer.fetched.blob.sha256, shape.options)
    return _Here(transfer, made) if made else None


def _bring(
    workshop: ImageContext,
    addresses: tuple[RemoteFile, ...],
    promise: ExpectedDigest,
    shape: DeclaredDisk,
    key: str,
    before: _Here | None,
) -> _Here:
    """Fetch it, and make a disk of it. ``before``: what came when nobody vouched for it; it may still be that."""
    from pragmaspec.images.disks.streaming import StreamingUnpack  # noqa: PLC0415 - formats and tools are only needed now

    part = workshop.store.part(key)
    unless = before.transfer.etag if before else ""
    problems: list[Problem] = []
    with (
        disk_full_as_error(workshop.store, workshop.image),
        StreamingUnpack(workshop, part, shape.options) as unpack,
    ):
        for number, address in enumerate(addresses):
            if number:
                workshop.step(f"trying {address.shown()}")
            try:
                came = download(
                    address,
                    part,
                    workshop,
                    known=workshop.pinned,
                    unless="" if number else unless,
                    sha512=bool(promise.sha512),
                    followers=(unpack,),
                )
                if came.unchanged and before:
                    return before
                _compare(workshop, promise, came, part, address.shown())
            except ImageError as error:
                problems += error.problems
                continue
            return _kept(workshop, part, promise, came, key, unpack.disk(came.sha256))
    raise ImageError.of(problems)


def _kept(
    workshop: ImageContext, part: Path, promise: ExpectedDigest, came: DownloadResult, key: str, made: BootableDisk
) -> _Here:
    """Remember what came, and what was made of it."""
    fetched = Fetched(
        blob=Blob(sha256=came.sha256, size_bytes=came.size_bytes),
        url=came.url if came.url == redact_url(came.url) else "",
        sha512=came.sha512,
        published=came.published,
        version=promise.version,
        signed_by=promise.signed_by,
    )
    transfer = CachedTransfer(fetched=fetched, etag=came.etag)
    for name in {key, came.sha256}:
        cache_transfer(workshop.store, name, transfer)
    part.with_suffix(".etag").unlink(missing_ok=True)
    return _Here(transfer, made)


def _compare(workshop: ImageContext, promise: ExpectedDigest, came: DownloadResult, part: Path, what: str) -> None:
    """Put wrong bytes aside, so that they can be looked at and are never continued, and say what is wrong."""
    if came.sha256 == (promise.sha256 or came.sha256) and came.sha512 == (promise.sha512 or came.sha512):
        return
    with part.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    bad = part.with_suffix(".bad")
    part.replace(bad)
    part.with_suffix(".etag").unlink(missing_ok=True)
    kept = f" The bytes were kept as {bad}."
    if start.startswith((b"<!doctype", b"<html")):
        raise ImageError(
            "Server sent a web page",
            f"{what} gave a web page instead of an image: a login, an error or a list of mirrors. Open the URL in a "
            "browser, and write the address of the file itself.",
        )
    if workshop.pinned is not None:
        raise changed_file_error(what, workshop.pinned, f"SHA-256 {came.sha256}", came.published, kept)
    if promise.by == "spec":
        check_digest(promise.sha256, came.sha256, what, kept)
    said = f"SHA-256 {promise.sha256}" if promise.sha256 else f"SHA-512 {promise.sha512}"
    found = came.sha256 if promise.sha256 else came.sha512
    detail = (
        f"{what} has {found}, and its publisher says {said}: a damaged or forged copy, or a mirror that is not up to date.{kept}"
    )
    raise ImageError("Image is not what its publisher says", detail)
