"""The file that was transferred for an image, before it was unpacked or converted."""

from typing import Protocol

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Blob


class Fetched(Frozen, frozen=True):
    """A transferred file: enough to request the same bytes again, and to tell an older file from a newer one.

    ``url``: its origin without credentials, empty if only the source can determine it; ``published``: the time that its server
    reports (RFC 3339, UTC); ``version``: as named by its publisher; ``signed_by``: fingerprint of the key that signed the
    published checksums; ``sha512``: if the publisher provides that.
    """

    blob: Blob
    url: str = ""
    sha512: str = ""
    published: str = ""
    version: str = ""
    signed_by: str = ""


class Versioned(Protocol):
    """A file with a version or a date."""

    @property
    def published(self) -> str:
        """Time of publication: RFC 3339, UTC."""
        ...

    @property
    def version(self) -> str:
        """Version as named by the publisher."""
        ...


def compare_age(found: Versioned, known: Versioned) -> str:
    """Return whether ``found`` is ``older``, ``newer`` or ``other``, by version if both have one, else by date."""
    if found.version and known.version and found.version != known.version:
        return "older" if version_key(found.version) < version_key(known.version) else "newer"
    if found.published and known.published and found.published != known.published:
        return "older" if found.published < known.published else "newer"
    return "other"


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key of a version: runs of digits are compared as numbers, so that 9.10 follows 9.9."""
    parts: list[str] = []
    for letter in version:
        if parts and parts[-1][-1].isdecimal() == letter.isdecimal():
            parts[-1] += letter
        else:
            parts.append(letter)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)
