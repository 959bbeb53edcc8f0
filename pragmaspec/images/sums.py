"""Files of digests, as publishers put them beside their images: ``SHA256SUMS``, ``CHECKSUM`` and the like.

Two forms: that of GNU coreutils (``<digest>  <name>``, a ``*`` before the name for binary mode) and the tagged one of the BSDs
(``SHA256 (<name>) = <digest>``). Everything else is an error, as is a name that stands there twice or with a folder: a file that
vouches for bytes is not guessed at.
"""

import re
from typing import NamedTuple

from pragmaspec.errors import ImageError, Problem
from pragmaspec.net.urls import shown_url

_PLAIN = re.compile(r"^(?P<digest>[0-9A-Fa-f]{32,128}) [ *](?P<name>[^\s].*)$")
_TAGGED = re.compile(r"^(?P<kind>SHA(?:256|512|1|384|224)|MD5) \((?P<name>[^)]+)\) = (?P<digest>[0-9A-Fa-f]{32,128})$")
_KINDS = {64: "sha256", 128: "sha512"}
_SHORTER = {32, 40, 56, 96}
"""Lengths of digests that are not used here: MD5, SHA-1, SHA-224, SHA-384."""


class Sum(NamedTuple):
    """A digest that somebody vouches for: ``kind`` is sha256 or sha512, ``digest`` lower-case hexadecimal."""

    kind: str
    digest: str


def sum_of(text: bytes, name: str, where: str) -> Sum:
    """What the file of digests ``text`` (from ``where``) says of ``name``; SHA-256 when it says both. Raises ImageError."""
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(text, where), start=1):
        if not line or line.startswith("#"):
            continue
        match = _PLAIN.match(line) or _TAGGED.match(line)
        if match is None:
            raise _wrong(where, f"line {number} is not a digest and a name")
        digest, said = match["digest"].lower(), match["name"]
        if said.rpartition("/")[2] != name:
            continue
        if said != name:
            raise _wrong(where, f"line {number} names {name} with a folder, so it may be another file")
        kind = _kind(match, where, number)
        if kind in found:
            raise _wrong(where, f"line {number} names {name} a second time")
        if kind:
            found[kind] = digest
    for kind in _KINDS.values():
        if kind in found:
            return Sum(kind, found[kind])
    raise _wrong(where, f"it has no SHA-256 or SHA-512 of {name}")


def _kind(match: re.Match[str], where: str, number: int) -> str:
    """The kind of digest of a line; empty for one that is not used."""
    length = len(match["digest"])
    said = match.groupdict().get("kind")
    kind = _KINDS.get(length, "")
    if (not kind and length not in _SHORTER) or (said and kind and said.lower() != kind):
        raise _wrong(where, f"the digest in line {number} has {length} digits")
    return kind


def _lines(text: bytes, where: str) -> list[str]:
    try:
        return [line.rstrip("\r") for line in text.decode().split("\n")]
    except UnicodeDecodeError:
        raise _wrong(where, "it is not a text") from None


def _wrong(where: str, why: str) -> ImageError:
    detail = f"{shown_url(where)}: {why}. Without a clear statement of the publisher the image is not taken."
    return ImageError(Problem(summary="Published digests cannot be used", detail=detail))
