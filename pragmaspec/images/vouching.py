"""What publishers say of their files, and whether it is really they who say it."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pragmaspec.errors import ImageError, Problem
from pragmaspec.images.cloudfront import WebAddress
from pragmaspec.images.signing import checked
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.sources.remote import Promise
from pragmaspec.images.sums import sum_of
from pragmaspec.images.web import Web
from pragmaspec.net.urls import REMOTE, parse_url, shown_url
from pragmaspec.spec.regular import read_regular

if TYPE_CHECKING:
    from pragmaspec.images.sources.url import Sums

INLINE = "inline"


def promise_of_sums(sums: "Sums", url: str, workshop: Workshop, version: str = "") -> Promise:
    """What ``sums`` says of the file at ``url``, after its signature was checked where there is one. Raises ImageError."""
    workshop.step("checking the publisher's digests")
    with Web(workshop.patience) as web:
        text = _needed(web, sums.url, workshop)
        if sums.signature:
            signature = None if sums.signature == INLINE else _needed(web, sums.signature, workshop)
            text = checked(text, signature, _key(web, sums, workshop), sums.key, shown_url(sums.url))
    found = sum_of(text, unquote(parse_url(url, REMOTE, blanks=True).path).lstrip("/"), sums.url)
    return Promise(
        by="publisher",
        version=version,
        signed_by=sums.key.upper() if sums.signature else "",
        **{found.kind: found.digest},
    )


def _key(web: Web, sums: "Sums", workshop: Workshop) -> bytes:
    """The key's bytes, from a file of this machine, else from its publisher: the pinned fingerprint makes sure of it."""
    if sums.keyring:
        try:
            return read_regular(Path(sums.keyring), -1)
        except OSError as error:
            if not sums.key_url:
                detail = f"{sums.keyring} cannot be read: {error.strerror}."
                raise ImageError(Problem(summary="Signature refused", detail=detail)) from None
    return _needed(web, sums.key_url, workshop)


def _needed(web: Web, url: str, workshop: Workshop) -> bytes:
    content = web.small(WebAddress(url=url, signing=workshop.settings.cloudfront))
    if content is None:
        raise ImageError(
            Problem(
                summary="Published digests cannot be used", detail=f"{shown_url(url)} is not there, and vouches for the image."
            )
        )
    return content
