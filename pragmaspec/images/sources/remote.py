"""Download of a disk from one of several places, with one expected digest, and its conversion into a bootable disk."""

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
from pragmaspec.images.transfer.download import DownloadOptions, DownloadResult, download
from pragmaspec.images.transfer.http import RemoteFile, is_web_page
from pragmaspec.net.urls import redact_url
from pragmaspec.resources import Blob


class ExpectedDigest(Frozen, frozen=True):
    """The digest that a file must have, and its origin. Without a digest, any file is accepted.

    ``version`` is the publisher's; ``signed_by`` is the fingerprint of the key that signed the digest.
    """

    by: Literal["lock", "spec", "publisher", "none"]
    sha256: str = ""
    sha512: str = ""
    version: str = ""
    signed_by: str = ""

    @property
    def key(self) -> str:
        """The digest as a cache key; empty if any file is accepted."""
        return self.sha256 or (f"sha512-{self.sha512}" if self.sha512 else "")


class DeclaredDisk(Frozen, frozen=True):
    """The spec's description of a disk, apart from its location. Kernel and initrd are local files, by absolute path."""

    format: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    member: str = ""

    @property
    def options(self) -> DiskOptions:
        """The options for reading the file."""
        return DiskOptions(declared=self.format, partitionless=self.kernel is not None, member=self.member)


def digest_from_lock(context: ImageContext) -> ExpectedDigest | None:
    """Return the digest in the lock file; None if there is none."""
    pinned = context.pinned
    if pinned is None:
        return None
    return ExpectedDigest(by="lock", sha256=pinned.blob.sha256, version=pinned.version, signed_by=pinned.signed_by)


def fetch_disk(
    context: ImageContext,
    files: Callable[[], Iterable[RemoteFile]],
    expected: ExpectedDigest,
    declared: DeclaredDisk,
    origin: str,
) -> VerifiedImage:
    """Return the disk from the store, else from the first of ``files`` that serves the expected bytes.

    Raises ImageError with the problem of every file.
    """
    if expected.by == "none" and not context.first_use:
        raise ImageError(
            "Image is not pinned",
            f"The bytes of {origin} are not determined: the spec has no digest, its publisher none, and the lock file none.",
        )
    key = expected.key or f"url-{sha256(origin.encode()).hexdigest()}"
    with context.store.locked(key):
        fetched = _from_cache(context, key, declared)
        if fetched is None or not expected.key:
            fetched = _Fetch(context, expected, declared, key, fetched).run(tuple(files()))
    disk = fetched.disk
    return VerifiedImage(
        format=disk.format,
        virtual_size_bytes=disk.virtual_size_bytes,
        disk=disk.blob,
        kernel=context.local(declared.kernel) if declared.kernel else None,
        initrd=context.local(declared.initrd) if declared.initrd else None,
        cmdline=declared.cmdline,
        fetched=fetched.transfer.fetched,
    )


class _FetchedDisk(NamedTuple):
    """A transferred file, and the disk in the store that was made from it."""

    transfer: CachedTransfer
    disk: BootableDisk


def _from_cache(context: ImageContext, key: str, declared: DeclaredDisk) -> _FetchedDisk | None:
    transfer = cached_transfer(context.store, key)
    if transfer is None:
        return None
    disk = cached_disk(context.store, transfer.fetched.blob.sha256, declared.options)
    return _FetchedDisk(transfer, disk) if disk else None


class _Fetch:
    """The download and conversion of one file. ``cached``: an earlier download without a known digest, maybe still current."""

    def __init__(
        self,
        context: ImageContext,
        expected: ExpectedDigest,
        declared: DeclaredDisk,
        key: str,
        cached: _FetchedDisk | None,
    ) -> None:
        self._context = context
        self._expected = expected
        self._declared = declared
        self._key = key
        self._cached = cached
        self._part = context.store.part(key)

    def run(self, files: tuple[RemoteFile, ...]) -> _FetchedDisk:
        """Download the first of ``files`` that serves the expected bytes. Raises ImageError."""
        from pragmaspec.images.disks.streaming import StreamingUnpack  # noqa: PLC0415 - only downloads need it

        context = self._context
        unless_etag = self._cached.transfer.etag if self._cached else ""
        problems: list[Problem] = []
        with (
            disk_full_as_error(context.store, context.image),
            StreamingUnpack(context, self._part, self._declared.options) as unpack,
        ):
            for number, file in enumerate(files):
                if number:
                    context.step(f"trying {file.display_name()}")
                options = DownloadOptions(
                    pinned=context.pinned,
                    unless_etag="" if number else unless_etag,
                    sha512=bool(self._expected.sha512),
                )
                try:
                    result = download(file, self._part, context, options, (unpack,))
                    if result.unchanged and self._cached:
                        return self._cached
                    self._verify(result, file.display_name())
                except ImageError as error:
                    problems += error.problems
                    continue
                return self._publish(result, unpack.disk(result.sha256))
        raise ImageError.of(problems)

    def _publish(self, result: DownloadResult, disk: BootableDisk) -> _FetchedDisk:
        """Record the transfer in the cache."""
        fetched = Fetched(
            blob=Blob(sha256=result.sha256, size_bytes=result.size_bytes),
            url=result.url if result.url == redact_url(result.url) else "",
            sha512=result.sha512,
            published=result.published,
            version=self._expected.version,
            signed_by=self._expected.signed_by,
        )
        transfer = CachedTransfer(fetched=fetched, etag=result.etag)
        for key in {self._key, result.sha256}:
            cache_transfer(self._context.store, key, transfer)
        self._part.with_suffix(".etag").unlink(missing_ok=True)
        return _FetchedDisk(transfer, disk)

    def _verify(self, result: DownloadResult, display_name: str) -> None:
        """Raise ImageError for a file with another digest; it is kept under another name, and never resumed."""
        expected = self._expected
        if result.sha256 == (expected.sha256 or result.sha256) and result.sha512 == (expected.sha512 or result.sha512):
            return
        bad = self._set_aside()
        if _starts_like_web_page(bad):
            raise ImageError(
                "Server sent a web page",
                f"{display_name} served a web page instead of an image: a login page, an error page or a list of mirrors. Open "
                "the URL in a browser, and write the URL of the file itself.",
            )
        kept = f" The file is kept as {bad}."
        if self._context.pinned is not None:
            raise changed_file_error(display_name, self._context.pinned, f"SHA-256 {result.sha256}", result.published, kept)
        if expected.by == "spec":
            check_digest(expected.sha256, result.sha256, display_name, kept)
        announced = f"SHA-256 {expected.sha256}" if expected.sha256 else f"SHA-512 {expected.sha512}"
        actual = result.sha256 if expected.sha256 else result.sha512
        raise ImageError(
            "Image differs from its publisher's checksum",
            f"{display_name} has {actual}, but its publisher announces {announced}: the copy is damaged or forged, or the mirror "
            f"is out of date.{kept}",
        )

    def _set_aside(self) -> Path:
        bad = self._part.with_suffix(".bad")
        self._part.replace(bad)
        self._part.with_suffix(".etag").unlink(missing_ok=True)
        return bad


def _starts_like_web_page(file: Path) -> bool:
    with file.open("rb") as stream:
        return is_web_page(stream.read(512))
