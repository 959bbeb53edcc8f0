"""Images behind URLs: of the web (also CloudFront and Google Drive) and of S3; with mirrors, and with sums of their publisher."""

from hashlib import sha256

from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.transfer.http import RemoteFile
from pragmaspec.net.urls import is_url, redact_url


class Sums(Frozen, frozen=True):
    """Where the publisher's digests are, and who signs them. See :class:`pragmaspec.images.sources.publication.Publication`.

    ``signature``: its URL, ``inline``, or empty when nobody signs; ``keyring`` is an absolute path.
    """

    url: str
    signature: str = ""
    key: str = ""
    key_url: str = ""
    keyring: str = ""


class UrlSource(Frozen, frozen=True, tag_field="kind", tag="http"):
    """A disk at a URL, or the file ``member`` in an archive there. Kernel and initrd are local files, by absolute path.

    ``sha256``, else ``sums``, vouch for it; without either only what ``pragmaspec.lock`` says is taken.
    """

    url: str
    sha256: str = ""
    mirrors: tuple[str, ...] = ()
    sums: Sums | None = None
    format: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    member: str = ""

    def origin(self) -> str:
        """The URL without user, password and query, any of which may be secret, and the file in that archive."""
        return f"{redact_url(self.url)}, member {self.member}" if self.member else redact_url(self.url)

    def described(self) -> str:
        """Over everything but the local files, which decide by themselves; empty when there are such.

        Mirrors are left out: they give the same bytes.
        """
        if self.kernel:
            return ""
        words = f"http {self.url} {self.sha256} {self.format}" + (f" {self.sums}" if self.sums else "")
        words += f" {self.member}" if self.member else ""
        return sha256(words.encode()).hexdigest()[:16]

    def find(self, workshop: ImageContext) -> VerifiedImage:
        """Download the disk unless the store has it."""
        # requests costs 0.13 s, and only what is downloaded needs it.
        from pragmaspec.images.sources import remote  # noqa: PLC0415
        from pragmaspec.images.sources.checksums import digest_from_checksums  # noqa: PLC0415

        promise = remote.digest_from_lock(workshop)
        if promise is None and self.sha256:
            promise = remote.ExpectedDigest(by="spec", sha256=self.sha256)
        if promise is None and self.sums:
            promise = digest_from_checksums(self.sums, self.url, workshop)
        shape = remote.DeclaredDisk(
            format=self.format, kernel=self.kernel, initrd=self.initrd, cmdline=self.cmdline, member=self.member
        )
        places = lambda: self._addresses(workshop)  # noqa: E731 - asked for only when something has to be fetched
        return remote.fetch_disk(workshop, places, promise or remote.ExpectedDigest(by="nobody"), shape, self.origin())

    def _addresses(self, workshop: ImageContext) -> tuple[RemoteFile, ...]:
        """Where it is asked for, in this order: where the lock file found it, as the spec says, the mirrors."""
        urls = [self.url, *self.mirrors]
        if workshop.pinned and is_url(workshop.pinned.url) and workshop.pinned.url not in urls:
            urls.insert(0, workshop.pinned.url)
        return tuple(remote_file(url, workshop) for url in urls)


def remote_file(url: str, workshop: ImageContext) -> RemoteFile:
    """The file that ``url`` means. Raises ImageError."""
    from pragmaspec.images.transfer.cloudfront import WebFile  # noqa: PLC0415 - each kind loads what it needs
    from pragmaspec.images.transfer.gdrive import drive_file, parse_drive_link  # noqa: PLC0415
    from pragmaspec.images.transfer.s3 import s3_file  # noqa: PLC0415

    if is_url(url, ("s3",)):
        return s3_file(url)
    if link := parse_drive_link(url, workshop.settings.drive.site):
        return drive_file(link, workshop)
    return WebFile(url=url, signing=workshop.settings.cloudfront)
