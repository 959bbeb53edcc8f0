"""The check sums that Clonezilla puts into a directory when it is asked to (``MD5SUMS``, ``SHA256SUMS`` and so on)."""

import hashlib
import re

from pragmaspec.errors import ImageError
from pragmaspec.images.transfer.cached_folder import ReadableFolder

KINDS = {"SHA512SUMS": "sha512", "SHA256SUMS": "sha256", "B2SUMS": "blake2b", "SHA1SUMS": "sha1", "MD5SUMS": "md5"}
"""By name of the file, the strongest first. The weak ones guard against mishaps, and are all that old directories have."""
_LINE = re.compile(r"\\?([0-9a-fA-F]{32,128})\s+\*?(?:\./)?([^/\s]+)")


class Checksums:
    """What each file of a directory has to be; knows nothing when the directory has no sums."""

    def __init__(self, kind: str, digests: dict[str, str]) -> None:
        self.kind = kind
        self.digests = digests

    def watch(self, name: str) -> "ChecksumVerifier":
        """To be told the bytes of the file ``name``."""
        wanted = self.digests.get(name, "")
        return ChecksumVerifier(name, wanted, hashlib.new(self.kind, usedforsecurity=False) if wanted else None)


class ChecksumVerifier:
    """One file while it is read."""

    def __init__(self, name: str, wanted: str, digest: "hashlib._Hash | None") -> None:
        self._name = name
        self._wanted = wanted
        self._digest = digest

    def update(self, piece: bytes) -> None:
        """The next bytes."""
        if self._digest:
            self._digest.update(piece)

    def finish(self) -> None:
        """All bytes came. Raises ImageError when they are not the right ones."""
        if self._digest and self._digest.hexdigest() != self._wanted:
            detail = f"{self._name} is not what the check sums of its directory say. Copy or download the directory again."
            raise ImageError("Image is damaged", detail)


def read_checksums(near: ReadableFolder) -> Checksums:
    """The strongest sums that the directory has."""
    names = near.names()
    for file, kind in KINDS.items():
        if file in names:
            text = (near.read_small(file) or b"").decode(errors="replace")
            found = (_LINE.match(line.strip()) for line in text.splitlines())
            return Checksums(kind, {match[2]: match[1].lower() for match in found if match})
    return Checksums("", {})
