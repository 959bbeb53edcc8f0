"""What was transferred, before anything was unpacked or converted."""

from typing import Protocol

from pragmaspec.frozen import Frozen
from pragmaspec.resources import Blob


class Fetched(Frozen, frozen=True):
    """A file as it came over the network: enough to ask for the same bytes again, and to tell an older file from a newer one.

    ``url`` is where it came from, without credentials; empty when only the source itself can say. ``published``: when its server
    says it was made (RFC 3339, UTC); ``version``: what its publisher calls it; ``signed_by``: the fingerprint of the key whose
    signature on the published sums was checked; ``sha512``: when that is what the publisher gives.
    """

    blob: Blob
    url: str = ""
    sha512: str = ""
    published: str = ""
    version: str = ""
    signed_by: str = ""


class Versioned(Protocol):
    """What has an age."""

    @property
    def published(self) -> str:
        """When it was made: RFC 3339, UTC."""
        ...

    @property
    def version(self) -> str:
        """What its publisher calls it."""
        ...


def compare_age(found: Versioned, known: Versioned) -> str:
    """``older``, ``newer`` or ``other``: what ``found`` is beside ``known``, by version where both have one, else by date."""
    if found.version and known.version and found.version != known.version:
        return "older" if version_key(found.version) < version_key(known.version) else "newer"
    if found.published and known.published and found.published != known.published:
        return "older" if found.published < known.published else "newer"
    return "other"


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """A key to sort versions by: runs of digits count as numbers, so that 9.10 comes after 9.9."""
    parts: list[str] = []
    for letter in version:
        if parts and parts[-1][-1].isdecimal() == letter.isdecimal():
            parts[-1] += letter
        else:
            parts.append(letter)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)
