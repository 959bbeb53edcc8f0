"""Images behind http and https URLs: downloaded once into the store, resumed after interruptions, verified before they count."""

from hashlib import sha256
from pathlib import Path
from typing import Literal

from pragmaspec.errors import ImageError, Problem
from pragmaspec.frozen import Frozen
from pragmaspec.images.inspect import inspect_file
from pragmaspec.images.sources.base import Found, Workshop
from pragmaspec.images.sources.wanted_digest import check_digest
from pragmaspec.images.urls import public_url
from pragmaspec.recorded import Blob


class HttpSource(Frozen, frozen=True, tag_field="kind", tag="http"):
    """A disk at a URL, with the SHA-256 that it must have. Kernel and initrd are local files, by absolute path."""

    url: str
    sha256: str
    format: Literal["qcow2", "raw"] | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""

    def origin(self) -> str:
        """The URL without user, password and query, any of which may be secret."""
        return public_url(self.url)

    def described(self) -> str:
        """Over everything but the local files, which decide by themselves; empty when there are such."""
        if self.kernel:
            return ""
        return sha256(f"http {self.url} {self.sha256} {self.format}".encode()).hexdigest()[:16]

    def find(self, workshop: Workshop) -> Found:
        """Download the disk unless the store has it."""
        disk = self._disk(workshop)
        inspected = inspect_file(workshop.store.path(disk.sha256), self.format, partitionless=self.kernel is not None)
        return Found(
            format=inspected.format,
            virtual_size_bytes=inspected.virtual_size_bytes,
            disk=disk,
            kernel=workshop.local(self.kernel) if self.kernel else None,
            initrd=workshop.local(self.initrd) if self.initrd else None,
            cmdline=self.cmdline,
        )

    def _disk(self, workshop: Workshop) -> Blob:
        from pragmaspec.images.download import download  # noqa: PLC0415 - requests costs 0.13 s, and only a download needs it

        store, final = workshop.store, workshop.store.path(self.sha256)
        with store.locked(self.sha256):
            if final.exists():
                return Blob(sha256=self.sha256, size_bytes=final.stat().st_size)
            part = store.part(self.sha256)
            found = download(self.url, part, workshop)
            if found != self.sha256:
                _refuse(part, self.sha256, found, self.origin())
            return store.publish(part, found)


def _refuse(part: Path, wanted: str, found: str, what: str) -> None:
    """Put the wrong bytes aside, so that they can be looked at and are never resumed, and say so."""
    with part.open("rb") as stream:
        start = stream.read(512).lstrip().lower()
    bad = part.with_suffix(".bad")
    part.replace(bad)
    if start.startswith((b"<!doctype", b"<html")):
        raise ImageError(
            Problem(
                summary="server sent a web page",
                detail=f"{what} gave a web page instead of an image: a login, an error or a list of mirrors. Open the URL in a "
                "browser, and write the address of the file itself.",
            )
        )
    check_digest(wanted, found, what, f" The bytes were kept as {bad}.")
