"""The optional checksum files of a Clonezilla directory (``MD5SUMS``, ``SHA256SUMS`` and so on)."""

import hashlib
import re

from pragmaspec.errors import ImageError
from pragmaspec.images.transfer.cached_folder import ReadableFolder

KINDS = {"SHA512SUMS": "sha512", "SHA256SUMS": "sha256", "B2SUMS": "blake2b", "SHA1SUMS": "sha1", "MD5SUMS": "md5"}
"""Algorithm by file name, the strongest first. The weak ones detect accidents only, and are all that old directories have."""
_LINE = re.compile(r"\\?([0-9a-fA-F]{32,128})\s+\*?(?:\./)?([^/\s]+)")


class Checksums:
    """The checksums of a directory's files; empty if it has none."""

    def __init__(self, algorithm: str, digests: dict[str, str]) -> None:
        self.algorithm = algorithm
        self.digests = digests

    def verifier(self, name: str) -> "ChecksumVerifier":
        """Return a verifier for the file ``name``."""
        expected = self.digests.get(name, "")
        return ChecksumVerifier(name, expected, hashlib.new(self.algorithm, usedforsecurity=False) if expected else None)


class ChecksumVerifier:
    """Verifies one file while it is read."""

    def __init__(self, name: str, expected: str, digest: "hashlib._Hash | None") -> None:
        self._name = name
        self._expected = expected
        self._digest = digest

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the file."""
        if self._digest:
            self._digest.update(chunk)

    def finish(self) -> None:
        """Raise ImageError if the file differs from its checksum."""
        if self._digest and self._digest.hexdigest() != self._expected:
            raise ImageError(
                "Image is damaged",
                f"{self._name} does not match the checksum in its directory. Copy or download the directory again.",
            )


def read_checksums(folder: ReadableFolder) -> Checksums:
    """Return the strongest checksums of the directory. Raises ImageError."""
    names = folder.names()
    for file, algorithm in KINDS.items():
        if file in names:
            text = (folder.read_small(file) or b"").decode(errors="replace")
            matches = (_LINE.match(line.strip()) for line in text.splitlines())
            return Checksums(algorithm, {match[2]: match[1].lower() for match in matches if match})
    return Checksums("", {})
