"""One file over HTTP, resumed where that is safe. What is on disk afterwards counts only after its digest was compared."""

import json
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from pragmaspec.errors import ImageError, Problem
from pragmaspec.images.sources.base import Workshop
from pragmaspec.images.store import CHUNK_BYTES
from pragmaspec.images.urls import less_safe, public_url

CONNECT_S, READ_S = 15.0, 60.0
TRIES = 5
MOST_REDIRECTS = 8
MOST_BYTES = 2**40
HTTP_SERVER_ERROR = 500
PIECE_BYTES = 64 * 1024
Counted = Callable[[int, int | None], None]


class _Interrupted(Exception):  # noqa: N818 - never leaves this module
    """The transfer broke off; another try may go on from there."""


_BROKEN = (_Interrupted, requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def download(url: str, part: Path, workshop: Workshop) -> str:
    """Bring ``part`` up to the whole file at ``url`` and return its SHA-256.

    A part from before is continued only when the server gives a strong ETag that is still the same (RFC 9110, section 13.1.5);
    otherwise it begins anew. A broken transfer is tried again until five tries in a row have brought nothing. Raises ImageError.
    """
    fruitless = 0
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"
        while True:
            furthest = _length(part)
            try:
                return _attempt(session, url, part, workshop)
            except _BROKEN as error:
                fruitless = 0 if _length(part) > furthest else fruitless + 1
                if fruitless >= TRIES:
                    why = f"nothing came in {TRIES} tries, the last ended with: {_words(error)}. What came before is kept"
                    raise _failed(url, why) from None
            time.sleep(workshop.pause_s * 2**fruitless)


def _attempt(session: requests.Session, url: str, part: Path, workshop: Workshop) -> str:
    tag_file = part.with_suffix(".etag")
    tag, have = _resumable(part, tag_file)
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if tag else {}
    with _follow(session, url, headers) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            _forget(part, tag_file)
            raise _Interrupted("the server has a shorter file than was begun")
        _check_status(url, response)
        going_on = response.status_code == requests.codes.partial_content
        start, total = _extent(response, have if going_on else 0)
        if not going_on:
            _forget(part, tag_file)
            _remember(tag_file, response.headers.get("ETag", ""))
        workshop.store.check_space((total or 0) - start, public_url(url))
        return _receive(response, part, start, total, lambda done, total: workshop.step("downloading", done, total))


def _receive(response: requests.Response, part: Path, start: int, total: int | None, counted: Counted) -> str:
    digest, done = sha256(), start
    with part.open("r+b" if start else "wb") as file:
        while done_before := file.read(min(CHUNK_BYTES, start - file.tell())) if file.tell() < start else b"":
            digest.update(done_before)
        file.truncate(start)
        for piece in response.iter_content(PIECE_BYTES):
            done += len(piece)
            if done > (MOST_BYTES if total is None else total):
                raise _failed(response.url, "the server sends more than it announced")
            file.write(piece)
            digest.update(piece)
            counted(done, total)
    if total is not None and done < total:
        raise _Interrupted(f"{done} of {total} bytes came")
    return digest.hexdigest()


def _follow(session: requests.Session, url: str, headers: dict[str, str]) -> requests.Response:
    """The answer at the end of the redirects; never from https to http."""
    for _ in range(MOST_REDIRECTS):
        response = session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=(CONNECT_S, READ_S))
        if not response.is_redirect:
            return response
        target = urljoin(url, response.headers["Location"])
        response.close()
        if less_safe(url, target):
            raise _failed(url, f"the server redirects to {public_url(target)}, which is less safe than what was asked for")
        url = target
    raise _failed(url, f"there are more than {MOST_REDIRECTS} redirects")


def _check_status(url: str, response: requests.Response) -> None:
    if response.status_code >= HTTP_SERVER_ERROR:
        raise _Interrupted(f"the server said {response.status_code} {response.reason}")
    if response.status_code not in {requests.codes.ok, requests.codes.partial_content}:
        raise _failed(url, f"the server said {response.status_code} {response.reason}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _failed(url, "the server sends it compressed, though it was asked not to")
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _failed(url, "the server sends a web page instead of an image: a login, an error or a list of mirrors")


def _extent(response: requests.Response, start: int) -> tuple[int, int | None]:
    """Where the answer begins, and the length of the whole file where the server tells."""
    if response.status_code == requests.codes.partial_content:
        unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
        span, _, total = extent.partition("/")
        first = span.partition("-")[0]
        if unit != "bytes" or first != str(start) or not total.isdigit():
            raise _failed(response.url, f"the server answers a request for bytes {start} onwards with {extent or 'none'}")
        return start, int(total)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _resumable(part: Path, tag_file: Path) -> tuple[str, int]:
    """The strong ETag that ``part`` began with, and its length; an empty one when it cannot be continued."""
    try:
        kept: Any = json.loads(tag_file.read_text(encoding="utf-8"))
        tag, have = str(kept["etag"]), part.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0
    return (tag, have) if have and tag.startswith('"') else ("", 0)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _remember(tag_file: Path, tag: str) -> None:
    if tag.startswith('"'):
        tag_file.write_text(json.dumps({"etag": tag}), encoding="utf-8")


def _forget(part: Path, tag_file: Path) -> None:
    part.unlink(missing_ok=True)
    tag_file.unlink(missing_ok=True)


def _words(error: Exception) -> str:
    """The error's own words without URLs in them, which may hold secrets."""
    return type(error).__name__ if isinstance(error, requests.RequestException) else str(error)


def _failed(url: str, why: str) -> ImageError:
    return ImageError(Problem(summary="image cannot be downloaded", detail=f"{public_url(url)}: {why}."))
