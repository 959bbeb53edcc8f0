r"""Published checksum files (``SHA256SUMS``, ``CHECKSUM`` and the like) and their signatures.

Formats: that of GNU coreutils (``<digest>  <name>``, a ``*`` before the name for binary mode, a ``\`` before the line if the name
contains escapes), the tagged one of the BSDs and of OpenSSL (``SHA256 (<name>) = <digest>``), that of Gentoo with a heading for
each kind of digest (``# BLAKE2B HASH``), and a single digest. A line about the requested file is never guessed at; lines about
other files are skipped.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.images.context import ImageContext
from pragmaspec.images.sources.publication import INLINE_SIGNATURE, PublishedChecksums
from pragmaspec.images.sources.remote import ExpectedDigest
from pragmaspec.images.sources.signatures import verify_signature
from pragmaspec.images.transfer.cloudfront import WebFile
from pragmaspec.images.transfer.http import DownloadClient
from pragmaspec.net.urls import REMOTE_SCHEMES, parse_url, redact_url
from pragmaspec.text import few

_HEX = r"(?P<digest>[0-9A-Fa-f]{32,128})"
_PLAIN = re.compile(rf"(?P<escaped>\\?)(?:(?P<kind>[Ss][Hh][Aa](?:256|512)):)?{_HEX}(?:[ \t]+\*?(?P<name>[^\s*].*))?")
_TAGGED = re.compile(rf"(?P<escaped>\\?)(?P<kind>[A-Za-z][A-Za-z0-9/-]*) ?\((?P<name>.+)\) ?= ?{_HEX}")
_KINDS = {64: "sha256", 128: "sha512"}
_TAGS = {"sha256": 64, "sha-256": 64, "sha2-256": 64, "sha512": 128, "sha-512": 128, "sha2-512": 128}
_UNSUPPORTED_LENGTHS = {32, 40, 56, 96}
"""Lengths of MD5, SHA-1, SHA-224 and SHA-384."""
_COMMENTS = ("#", ";")
_HEADING = re.compile(r"# *(?P<kind>[A-Za-z][A-Za-z0-9-]*) HASH", re.IGNORECASE)
_STREAMS = ("-", "stdin")
"""Names of standard input, equivalent to no name."""
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}
_SIGNED_MESSAGE = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_SHOWN_NAMES = 5


class PublishedDigest(NamedTuple):
    """A digest from a checksum file: ``kind`` is sha256 or sha512, ``digest`` is lower-case hexadecimal."""

    kind: str
    digest: str


class _Line(NamedTuple):
    """A line of a checksum file. ``kind`` is empty for an unsupported digest, ``name`` for a digest without a file name."""

    number: int
    kind: str
    digest: str
    name: str


def find_digest(text: bytes, path: str, origin: str) -> PublishedDigest:
    """Return the digest of the file at ``path`` in the checksum file ``text``: SHA-256, else SHA-512. Raises ImageError.

    ``path`` is the path of the file's URL, because a line may name the file with its folders; ``origin`` is a name for errors.
    """
    name = path.rpartition("/")[2]
    lines, malformed = _read(text, name, origin)
    if len(lines) == 1 and not lines[0].name and not malformed:
        lines = [lines[0]._replace(name=name)]
    matching = [line for line in lines if line.name and f"/{path}".endswith(f"/{line.name}")]
    longest = max((len(line.name) for line in matching), default=0)
    by_kind: dict[str, _Line] = {}
    for line in (line for line in matching if len(line.name) == longest and line.kind):
        first = by_kind.setdefault(line.kind, line)
        if first.digest != line.digest:
            raise _checksums_error(origin, f"lines {first.number} and {line.number} have different digests of {name}")
    for kind in _KINDS.values():
        if kind in by_kind:
            return PublishedDigest(kind, by_kind[kind].digest)
    raise _checksums_error(origin, _explain_absence(name, lines, matching, malformed))


def _explain_absence(name: str, lines: list[_Line], matching: list[_Line], malformed: int) -> str:
    """Return the reason why there is no digest of ``name``, with the closest line."""
    if matching:
        return f"it has no SHA-256 or SHA-512 of {name}: the digest in line {matching[0].number} is of an unsupported kind"
    elsewhere = next((line for line in lines if line.name.rpartition("/")[2] == name), None)
    if elsewhere:
        return f"line {elsewhere.number} has {name} in another folder ({elsewhere.name}), so it may be another file"
    unnamed = next((line for line in lines if not line.name), None)
    if unnamed:
        return f"line {unnamed.number} has a digest without a name, which may be that of another file than {name}"
    if malformed:
        return f"it has no SHA-256 or SHA-512 of {name}, and line {malformed} is not a digest and a name"
    return f"it has no SHA-256 or SHA-512 of {name}; its files: {few([line.name for line in lines], _SHOWN_NAMES)}"


def _read(text: bytes, name: str, origin: str) -> tuple[list[_Line], int]:
    """Return the lines with digests, and the number of the first malformed line, 0 for none."""
    lines, malformed, heading = [], 0, ""
    for number, line in _significant_lines(text, origin):
        if line.startswith(_COMMENTS):
            found = _HEADING.fullmatch(line)
            heading = found["kind"] if found else heading
            continue
        match = _PLAIN.fullmatch(line) or _TAGGED.fullmatch(line)
        if match is not None:
            kind = _kind(match, heading, origin, number, name)
            lines.append(_Line(number, kind, match["digest"].lower(), _name(match)))
        elif name in line:
            raise _checksums_error(origin, f"line {number} mentions {name}, but is not a digest and a name")
        else:
            malformed = malformed or number
    return lines, malformed


def _kind(match: re.Match[str], heading: str, origin: str, number: int, name: str) -> str:
    """Return the kind of the digest in a line under ``heading``; empty for an unsupported one."""
    length, stated = len(match["digest"]), (match["kind"] or heading).lower()
    if stated and stated not in _TAGS:
        return ""
    kind = _KINDS.get(length, "")
    if length != _TAGS.get(stated, length) or (not kind and length not in _UNSUPPORTED_LENGTHS):
        if (_name(match) or name).rpartition("/")[2] == name:
            raise _checksums_error(origin, f"the digest of {name} in line {number} has {length} digits")
        return ""
    return kind


def _name(match: re.Match[str]) -> str:
    """Return the name in a line, with / as separator and without a leading ``./``."""
    name = match["name"] or ""
    if name in _STREAMS:
        return ""
    if match["escaped"]:
        return re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
    return re.sub(r"^(?:\./+)+", "", name.replace("\\", "/"))


def _significant_lines(text: bytes, origin: str) -> Iterator[tuple[int, str]]:
    """Yield the stripped, non-empty lines with their numbers from 1, without the armor of a signature."""
    in_armor_header = False
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", _decode(text, origin)), start=1):
        line = raw.strip(" \t\f\v\x00\u00a0")
        if line == _SIGNATURE:
            return
        if line == _SIGNED_MESSAGE:
            in_armor_header = True
        elif in_armor_header:
            in_armor_header = bool(line)
        elif line:
            yield number, line.removeprefix("- ")


def _decode(text: bytes, origin: str) -> str:
    """Decode UTF-8, or UTF-16 as Windows PowerShell writes it."""
    if not text.strip():
        raise _checksums_error(origin, "it is empty")
    has_utf_16_mark = text.startswith((b"\xff\xfe", b"\xfe\xff"))
    unmarked = "utf-16-le" if text[1:2] == b"\0" else "utf-16-be" if text[:1] == b"\0" else "utf-8-sig"
    try:
        decoded = text.decode("utf-16" if has_utf_16_mark else unmarked)
    except UnicodeDecodeError:
        raise _checksums_error(origin, "it is not a text file") from None
    if decoded.lstrip().lower().startswith(("<!doctype", "<html", "<head")):
        raise _checksums_error(origin, "it is a web page instead of a checksum file")
    return decoded


def _checksums_error(origin: str, reason: str) -> ImageError:
    return ImageError(
        "Published checksums cannot be used",
        f"{redact_url(origin)}: {reason}. The image is not used without an unambiguous checksum of its publisher.",
    )


def digest_from_checksums(checksums: PublishedChecksums, url: str, context: ImageContext, version: str = "") -> ExpectedDigest:
    """Return the digest of the file at ``url`` in ``checksums``, whose signature, if any, is verified. Raises ImageError."""
    context.step("checking the publisher's checksums")
    with DownloadClient(context.policy) as client:
        text = _download(client, checksums.url, context)
        if checksums.signature:
            inline = checksums.signature == INLINE_SIGNATURE
            signature = None if inline else _download(client, checksums.signature, context)
            keys = _signing_keys(client, checksums, context)
            text = verify_signature(text, signature, keys, checksums.key, redact_url(checksums.url))
    path = unquote(parse_url(url, REMOTE_SCHEMES, blanks=True).path).lstrip("/")
    found = find_digest(text, path, checksums.url)
    return ExpectedDigest(
        by="publisher",
        version=version,
        signed_by=checksums.key.upper() if checksums.signature else "",
        **{found.kind: found.digest},
    )


def _signing_keys(client: DownloadClient, checksums: PublishedChecksums, context: ImageContext) -> bytes:
    """Return the keys from the local keyring, else from the publisher, which is safe because the fingerprint is pinned."""
    if checksums.keyring:
        try:
            return read_regular(Path(checksums.keyring), -1)
        except OSError as error:
            if not checksums.key_url:
                raise ImageError("Signature rejected", f"{checksums.keyring} cannot be read: {error.strerror}.") from None
    return _download(client, checksums.key_url, context)


def _download(client: DownloadClient, url: str, context: ImageContext) -> bytes:
    content = client.read_small(WebFile(url=url, signing=context.settings.cloudfront))
    if content is None:
        raise ImageError(
            "Published checksums cannot be used", f"{redact_url(url)} does not exist, but is needed to verify the image."
        )
    return content
