"""Images at URLs, of the web (also CloudFront and Google Drive) or of S3, with mirrors and a publisher's checksums."""

from hashlib import sha256

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.sources.publication import PublishedChecksums
from pragmaspec.net.urls import is_url, redact_url


class UrlSource(Frozen, frozen=True, tag_field="kind", tag="http"):
    """A disk at a URL, or the file ``member`` of an archive there. Kernel and initrd are local files, by absolute path.

    ``sha256``, else ``sums``, determines the accepted file; without either, only the one in ``pragmaspec.lock`` is accepted.
    """

    url: str
    sha256: str = ""
    mirrors: tuple[str, ...] = ()
    sums: PublishedChecksums | None = None
    format: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    member: str = ""

    def origin(self) -> str:
        """The URL without user, password and query, and the member."""
        return f"{redact_url(self.url)}, member {self.member}" if self.member else redact_url(self.url)

    def described(self) -> str:
        """A digest of everything but local files; empty if there are any, because they determine the image.

        Mirrors are left out: they serve the same bytes.
        """
        if self.kernel:
            return ""
        text = f"http {self.url} {self.sha256} {self.format}" + (f" {_sums_text(self.sums)}" if self.sums else "")
        text += f" {self.member}" if self.member else ""
        return sha256(text.encode()).hexdigest()[:16]

    def find(self, context: ImageContext) -> VerifiedImage:
        """Download the disk unless the store has it. Raises ImageError."""
        # requests takes 0.13 s to import, and only downloads need it.
        from pragmaspec.images.sources import remote  # noqa: PLC0415
        from pragmaspec.images.sources.checksums import digest_from_checksums  # noqa: PLC0415
        from pragmaspec.images.transfer.locations import remote_file  # noqa: PLC0415

        expected = remote.digest_from_lock(context)
        if expected is None and self.sha256:
            expected = remote.ExpectedDigest(by="spec", sha256=self.sha256)
        if expected is None and self.sums:
            expected = digest_from_checksums(self.sums, self.url, context)
        declared = remote.DeclaredDisk(
            format=self.format, kernel=self.kernel, initrd=self.initrd, cmdline=self.cmdline, member=self.member
        )
        return remote.fetch_disk(
            context,
            lambda: tuple(remote_file(url, context) for url in self._urls(context)),
            expected or remote.ExpectedDigest(by="none"),
            declared,
            self.origin(),
        )

    def _urls(self, context: ImageContext) -> list[str]:
        """Return the URLs to try: the one in the lock file, the one in the spec, the mirrors."""
        urls = [self.url, *self.mirrors]
        if context.pinned and is_url(context.pinned.url) and context.pinned.url not in urls:
            urls.insert(0, context.pinned.url)
        return urls


def _sums_text(sums: PublishedChecksums) -> str:
    """Return the text from which lock files' digests were computed since the first version; it must never change."""
    names = ("url", "signature", "key", "key_url", "keyring")
    return f"Sums({', '.join(f'{name}={getattr(sums, name)!r}' for name in names)})"
