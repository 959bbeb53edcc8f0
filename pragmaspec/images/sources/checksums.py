r"""What publishers say of their files, and whether it is really they who say it.

Files of digests, as publishers put them beside their images: ``SHA256SUMS``, ``CHECKSUM`` and the like.

Their forms: that of GNU coreutils (``<digest>  <name>``, a ``*`` before the name for binary mode, a ``\`` before the line when
the name has escapes), the tagged one of the BSDs and of OpenSSL (``SHA256 (<name>) = <digest>``), that of Gentoo with a heading
over each kind of digest (``# BLAKE2B HASH``), and one digest alone. A line that says something of the wanted file is never
guessed at; lines that say nothing of it are passed over.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.images.context import ImageContext
from pragmaspec.images.sources.remote import ExpectedDigest
from pragmaspec.images.sources.signatures import verify_signature
from pragmaspec.images.transfer.cloudfront import WebFile
from pragmaspec.images.transfer.http import HttpClient
from pragmaspec.net.urls import REMOTE_SCHEMES, parse_url, redact_url

_HEX = r"(?P<digest>[0-9A-Fa-f]{32,128})"
_PLAIN = re.compile(rf"(?P<escaped>\\?)(?:(?P<kind>[Ss][Hh][Aa](?:256|512)):)?{_HEX}(?:[ \t]+\*?(?P<name>[^\s*].*))?")
_TAGGED = re.compile(rf"(?P<escaped>\\?)(?P<kind>[A-Za-z][A-Za-z0-9/-]*) ?\((?P<name>.+)\) ?= ?{_HEX}")
_KINDS = {64: "sha256", 128: "sha512"}
_TAGS = {"sha256": 64, "sha-256": 64, "sha2-256": 64, "sha512": 128, "sha-512": 128, "sha2-512": 128}
_SHORTER = {32, 40, 56, 96}
"""Lengths of digests that are not used here: MD5, SHA-1, SHA-224, SHA-384."""
_COMMENTS = ("#", ";")
_HEADING = re.compile(r"# *(?P<kind>[A-Za-z][A-Za-z0-9-]*) HASH", re.IGNORECASE)
_STREAMS = ("-", "stdin")
"""Names of standard input: a digest of it stands alone."""
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_NAMES_SHOWN = 5


class PublishedDigest(NamedTuple):
    """A digest that somebody vouches for: ``kind`` is sha256 or sha512, ``digest`` lower-case hexadecimal."""

    kind: str
    digest: str


class _Line(NamedTuple):
    """A line of a checksum file. ``kind`` is empty for an unsupported digest, ``name`` for a digest without a file name."""

    number: int
    kind: str
    digest: str
    name: str


def find_digest(text: bytes, path: str, where: str) -> PublishedDigest:
    """The digest of the file at ``path`` in the checksum file ``text`` (from ``where``): SHA-256, else SHA-512.

    ``path`` is the path of the file's URL: a line may name the file with its folders. Raises ImageError.
    """
    name = path.rpartition("/")[2]
    lines, strange = _read(text, name, where)
    if len(lines) == 1 and not lines[0].name and not strange:
        lines = [lines[0]._replace(name=name)]
    about = [line for line in lines if line.name and f"/{path}".endswith(f"/{line.name}")]
    longest = max((len(line.name) for line in about), default=0)
    found: dict[str, _Line] = {}
    for line in (line for line in about if len(line.name) == longest and line.kind):
        before = found.setdefault(line.kind, line)
        if before.digest != line.digest:
            raise _wrong(where, f"lines {before.number} and {line.number} have two different digests of {name}")
    for kind in _KINDS.values():
        if kind in found:
            return PublishedDigest(kind, found[kind].digest)
    raise _wrong(where, _missing(name, lines, about, strange))


def _missing(name: str, lines: list[_Line], about: list[_Line], strange: int) -> str:
    """Why there is no digest for ``name``, with the line that comes nearest."""
    if about:
        return f"it has no SHA-256 or SHA-512 of {name}: the digest in line {about[0].number} is of a kind that is not used"
    elsewhere = next((line for line in lines if line.name.rpartition("/")[2] == name), None)
    if elsewhere:
        return (
            f"line {elsewhere.number} names {name} with a folder that it is not in ({elsewhere.name}), so it may be another file"
        )
    bare = next((line for line in lines if not line.name), None)
    if bare:
        return f"line {bare.number} has a digest without a name, and {name} is looked for"
    if strange:
        return f"it has no SHA-256 or SHA-512 of {name}, and line {strange} is not a digest and a name"
    names = ", ".join(line.name for line in lines[:_NAMES_SHOWN])
    return f"it has no SHA-256 or SHA-512 of {name}" + (f"; it names {names}" if names else ", nor of any other file")


def _read(text: bytes, name: str, where: str) -> tuple[list[_Line], int]:
    """The lines with digests, and the number of the first that is something else; 0: there is none."""
    found, strange, heading = [], 0, ""
    for number, line in _lines(text, where):
        if line.startswith(_COMMENTS):
            headed = _HEADING.fullmatch(line)
            heading = headed["kind"] if headed else heading
            continue
        match = _PLAIN.fullmatch(line) or _TAGGED.fullmatch(line)
        if match is not None:
            found.append(_Line(number, _kind(match, heading, where, number, name), match["digest"].lower(), _name(match)))
        elif name in line:
            raise _wrong(where, f"line {number} is not a digest and a name, though it speaks of {name}")
        else:
            strange = strange or number
    return found, strange


def _kind(match: re.Match[str], heading: str, where: str, number: int, name: str) -> str:
    """The kind of digest of a line under ``heading``; empty for one that is not used."""
    length, said = len(match["digest"]), (match["kind"] or heading).lower()
    if said and said not in _TAGS:
        return ""
    kind = _KINDS.get(length, "")
    if length != _TAGS.get(said, length) or (not kind and length not in _SHORTER):
        if (_name(match) or name).rpartition("/")[2] == name:
            raise _wrong(where, f"the digest of {name} in line {number} has {length} digits")
        return ""
    return kind


def _name(match: re.Match[str]) -> str:
    """The name in a line, with / between its parts and without ``./`` before them."""
    name = match["name"] or ""
    if name in _STREAMS:
        return ""
    if match["escaped"]:
        return re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
    return re.sub(r"^(?:\./+)+", "", name.replace("\\", "/"))


def _lines(text: bytes, where: str) -> Iterator[tuple[int, str]]:
    """The lines that may say something, numbered from 1, without blanks around them and without what signs them."""
    head = False
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", _decoded(text, where)), start=1):
        line = raw.strip(" \t\f\v\x00\u00a0")
        if line == _SIGNATURE:
            return
        if line == _SIGNED:
            head = True
        elif head:
            head = bool(line)
        elif line:
            yield number, line.removeprefix("- ")


def _decoded(text: bytes, where: str) -> str:
    """Text in UTF-8, or in UTF-16 as Windows PowerShell writes it."""
    if not text.strip():
        raise _wrong(where, "it is empty")
    utf_16 = text.startswith((b"\xff\xfe", b"\xfe\xff"))
    bare = "utf-16-le" if text[1:2] == b"\0" else "utf-16-be" if text[:1] == b"\0" else "utf-8-sig"
    try:
        found = text.decode("utf-16" if utf_16 else bare)
    except UnicodeDecodeError:
        raise _wrong(where, "it is not a text") from None
    if found.lstrip().lower().startswith(("<!doctype", "<html", "<head")):
        raise _wrong(where, "it is a web page, and not a file of digests")
    return found


def _wrong(where: str, why: str) -> ImageError:
    detail = f"{redact_url(where)}: {why}. Without a clear statement of the publisher the image is not taken."
    return ImageError("Published digests cannot be used", detail)


if TYPE_CHECKING:
    from pragmaspec.images.sources.url import Sums

INLINE_SIGNATURE = "inline"


def digest_from_checksums(sums: "Sums", url: str, workshop: ImageContext, version: str = "") -> ExpectedDigest:
    """What ``sums`` says of the file at ``url``, after its signature was checked where there is one. Raises ImageError."""
    workshop.step("checking the publisher's digests")
    with HttpClient(workshop.policy) as web:
        text = _needed(web, sums.url, workshop)
        if sums.signature:
            signature = None if sums.signature == INLINE_SIGNATURE else _needed(web, sums.signature, workshop)
            text = verify_signature(text, signature, _key(web, sums, workshop), sums.key, redact_url(sums.url))
    found = find_digest(text, unquote(parse_url(url, REMOTE_SCHEMES, blanks=True).path).lstrip("/"), sums.url)
    return ExpectedDigest(
        by="publisher",
        version=version,
        signed_by=sums.key.upper() if sums.signature else "",
        **{found.kind: found.digest},
    )


def _key(web: HttpClient, sums: "Sums", workshop: ImageContext) -> bytes:
    """The key's bytes, from a file of this machine, else from its publisher: the pinned fingerprint makes sure of it."""
    if sums.keyring:
        try:
            return read_regular(Path(sums.keyring), -1)
        except OSError as error:
            if not sums.key_url:
                detail = f"{sums.keyring} cannot be read: {error.strerror}."
                raise ImageError("Signature refused", detail) from None
    return _needed(web, sums.key_url, workshop)


def _needed(web: HttpClient, url: str, workshop: ImageContext) -> bytes:
    content = web.small(WebFile(url=url, signing=workshop.settings.cloudfront))
    if content is None:
        raise ImageError("Published digests cannot be used", f"{redact_url(url)} is not there, and vouches for the image.")
    return content
