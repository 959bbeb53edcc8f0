"""The newest release of a publication: its file, and the digest that the publisher announces."""

import re
import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.settings import Settings
from pragmaspec.images.sources.checksums import digest_from_checksums
from pragmaspec.images.sources.publication import INLINE_SIGNATURE, Publication, PublishedChecksums
from pragmaspec.images.sources.remote import ExpectedDigest
from pragmaspec.images.store.fetched import version_key
from pragmaspec.images.transfer.folders import WebFolder
from pragmaspec.text import did_you_mean, few

_SHOWN_NAMES = 20
MAX_FOLDERS_TRIED = 3
"""Number of dated folders to try, the newest first: a folder may be published before all of its files."""


class Release(Frozen, frozen=True):
    """A published file and its digest."""

    url: str
    expected: ExpectedDigest


@cache
def built_in_publications() -> dict[str, Publication]:
    """The built-in publications by name."""
    text = files("pragmaspec.images").joinpath("published.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Publication])


def find_publication(name: str, settings: Settings) -> Publication:
    """Return the publication ``name``, the user's own or a built-in one. Raises ImageError."""
    known = built_in_publications() | dict(settings.catalogue)
    if name not in known:
        advice = did_you_mean(name, known, otherwise=f"The catalogue has {few(sorted(known), _SHOWN_NAMES)}.")
        detail = f"There is no image {name} in the catalogue. {advice} Add your own in sources.toml (docs/images.md)."
        raise ImageError("Unknown catalogue name", detail)
    return known[name]


def find_release(publication: Publication, context: ImageContext) -> Release:
    """Ask the publisher for the newest complete release. Raises ImageError."""
    context.step("asking for the newest release")
    folder = publication.folder.rstrip("/") + "/"
    versions = _dated_folders(folder, publication, context) if publication.dated else [""]
    for version in versions:
        release = _release_in(f"{folder}{version}/" if version else folder, version, publication, context)
        if release is not None:
            return release
    raise ImageError(
        "No release found",
        f"{folder} contains no {publication.file} with {publication.sums} beside it. The publisher may have changed its layout.",
    )


def _dated_folders(folder: str, publication: Publication, context: ImageContext) -> list[str]:
    """Return the names of the newest dated subfolders, the newest first."""
    names = [name.removesuffix("/") for name in WebFolder(folder, context).names()]
    dated = sorted((name for name in names if re.fullmatch(publication.dated, name)), key=version_key, reverse=True)
    return dated[:MAX_FOLDERS_TRIED]


def _release_in(folder: str, version: str, publication: Publication, context: ImageContext) -> Release | None:
    """Return the newest file of one folder; None if it has no image or no checksum file."""
    names = WebFolder(folder, context).names()
    images = [match for name in names if (match := re.fullmatch(publication.file, name))]
    if not images:
        return None
    image = max(images, key=lambda match: version_key(_version(match)))
    pattern = publication.sums.replace("{file}", re.escape(image[0]))
    sums = sorted((name for name in names if re.fullmatch(pattern, name)), key=version_key)
    if not sums:
        return None
    url, signature = f"{folder}{sums[-1]}", publication.signature
    checksums = PublishedChecksums(
        url=url,
        signature=signature if signature in {"", INLINE_SIGNATURE} else url + signature,
        key=publication.key,
        key_url=publication.key_url,
        keyring=publication.keyring,
    )
    image_url = folder + image[0]
    return Release(url=image_url, expected=digest_from_checksums(checksums, image_url, context, version or _version(image)))


def _version(match: re.Match[str]) -> str:
    return match.groupdict().get("version") or match[0]
