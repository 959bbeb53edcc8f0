"""The newest release of a publication: which file it is, and what its publisher says it has to be."""

import re
import tomllib
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.settings import Settings
from pragmaspec.images.sources.checksums import INLINE_SIGNATURE, digest_from_checksums
from pragmaspec.images.sources.publication import Publication
from pragmaspec.images.sources.remote import ExpectedDigest
from pragmaspec.images.sources.url import Sums
from pragmaspec.images.store.fetched import version_key
from pragmaspec.images.transfer.folders import WebFolder

MAX_FOLDERS_TRIED = 3
"""A dated folder may be there before all its files are: so many are looked into, from the newest on."""


class Release(Frozen, frozen=True):
    """A file that was published, and what vouches for it."""

    url: str
    promise: ExpectedDigest


@cache
def built_in_publications() -> dict[str, Publication]:
    """The publications that pragmaspec knows by itself, by name."""
    text = files("pragmaspec.images").joinpath("published.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Publication])


def find_publication(name: str, settings: Settings) -> Publication:
    """The publication called ``name``: the user's own, else a built-in one. Raises ImageError."""
    known = built_in_publications() | dict(settings.catalogue)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        advice = f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(known))}."
        detail = f"There is no image {name} in the catalogue. {advice} Your own go into sources.toml (docs/images.md)."
        raise ImageError("Unknown catalogue name", detail)
    return known[name]


def find_release(publication: Publication, workshop: ImageContext) -> Release:
    """The newest release that is complete. Asks the publisher. Raises ImageError."""
    workshop.step("asking for the newest release")
    folder = publication.folder.rstrip("/") + "/"
    if not publication.dated:
        found = _release_in(folder, "", publication, workshop)
        if found is None:
            raise _nothing(publication, folder)
        return found
    names = [name.removesuffix("/") for name in WebFolder(folder, workshop).names()]
    dated = sorted((name for name in names if re.fullmatch(publication.dated, name)), key=version_key, reverse=True)
    for name in dated[:MAX_FOLDERS_TRIED]:
        found = _release_in(f"{folder}{name}/", name, publication, workshop)
        if found is not None:
            return found
    raise _nothing(publication, folder)


def _release_in(folder: str, version: str, publication: Publication, workshop: ImageContext) -> Release | None:
    """The newest file of one folder; None when the file or its sums are not there."""
    names = WebFolder(folder, workshop).names()
    images = [match for name in names if (match := re.fullmatch(publication.file, name))]
    if not images:
        return None
    image = max(images, key=lambda match: version_key(_version(match)))
    pattern = publication.sums.replace("{file}", re.escape(image[0]))
    sums = sorted((name for name in names if re.fullmatch(pattern, name)), key=version_key)
    if not sums:
        return None
    url, signature = f"{folder}{sums[-1]}", publication.signature
    asked = Sums(
        url=url,
        signature=signature if signature in {"", INLINE_SIGNATURE} else url + signature,
        key=publication.key,
        key_url=publication.key_url,
        keyring=publication.keyring,
    )
    image_url = folder + image[0]
    return Release(url=image_url, promise=digest_from_checksums(asked, image_url, workshop, version or _version(image)))


def _version(match: re.Match[str]) -> str:
    return match.groupdict().get("version") or match[0]


def _nothing(publication: Publication, folder: str) -> ImageError:
    detail = f"{folder} has no {publication.file} with {publication.sums} beside it: the publisher has changed something."
    return ImageError("No release found", detail)
