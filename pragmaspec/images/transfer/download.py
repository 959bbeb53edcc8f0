"""One file over HTTP, resumed where that is safe. What is on disk afterwards counts only after its digest was compared."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import requests

from pragmaspec.errors import ImageError
from pragmaspec.failpoints import reach
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.formats.sparse import write_sparse_at
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.images.transfer.cloudfront import WebFile
from pragmaspec.images.transfer.digest_checks import changed_file_error
from pragmaspec.images.transfer.http import CHUNK_BYTES, HttpClient, RemoteFile, check_status, download_error, explain_attempts
from pragmaspec.images.transfer.response_facts import (
    content_length,
    content_range,
    is_complete_at,
    is_web_page,
    last_modified,
    strong_etag,
)
from pragmaspec.images.transfer.trailing_hash import TrailingHash
from pragmaspec.net.errors import TRANSPORT_ERRORS, TransferInterruptedError, is_permanent, max_attempts

SPACE_CHECK_INTERVAL_BYTES = 256 * 2**20
PAGES = "a login, an error or a list of mirrors"


class DownloadResult(Frozen, frozen=True):
    """A file that is here now. ``url`` is where it really was, after redirects; ``etag`` only a strong one.

    ``unchanged``: the file that was known before is still the one; nothing came.
    """

    sha256: str = ""
    size_bytes: int = 0
    sha512: str = ""
    published: str = ""
    etag: str = ""
    url: str = ""
    unchanged: bool = False


class Follower(Protocol):
    """Reads the part while it grows."""

    def start(self, total_bytes: int | None) -> None:
        """The part is there, and begins from its first byte; ``total_bytes``: how long it will be, None when nobody tells."""
        ...

    def advance(self, so_far: int) -> None:
        """Its first ``so_far`` bytes stand there; until it begins again they stay."""
        ...

    def finish(self) -> None:
        """Nothing more comes: it is whole, if not yet known to be right."""
        ...


def download(
    address: str | RemoteFile,
    part: Path,
    workshop: ImageContext,
    *,
    known: Fetched | None = None,
    unless: str = "",
    sha512: bool = False,
    followers: Sequence[Follower] = (),
) -> DownloadResult:
    """Bring ``part`` up to the whole file at ``address`` (an URL, when it is text).

    A part from before is continued only when the server gives a strong ETag that is still the same (RFC 9110, section 13.1.5);
    otherwise it begins anew. A broken transfer is tried again until five tries in a row have brought nothing. ``known``: what it
    has to be, so that another file is refused before it is transferred; ``unless``: nothing is wanted while the file has this
    ETag; ``sha512``: make that digest too; ``followers`` read along. The digest is the caller's to compare. Raises ImageError.
    """
    if isinstance(address, str):
        address = WebFile(url=address, signing=workshop.settings.cloudfront)
    fruitless, began = 0, _length(part)
    kinds = ("sha256", "sha512") if sha512 else ("sha256",)
    with (
        HttpClient(workshop.policy) as web,
        TrailingHash(part, kinds, lambda done, total: workshop.step("hashing", done, total)) as sums,
    ):
        transfer = _Transfer(web, address, part, workshop, known, unless, sums, followers)
        while True:
            furthest = _length(part)
            try:
                return transfer.attempt()
            except TRANSPORT_ERRORS as error:
                fruitless = 0 if _length(part) > furthest else fruitless + 1
                most = workshop.policy.tries
                # A server that has just sent something is worth more patience than one that was never there.
                if is_permanent(error) or fruitless >= (most if _length(part) > began else max_attempts(error, most)):
                    kept = ". What came before is kept" if _length(part) else ""
                    raise download_error(address.shown(), explain_attempts(fruitless, error) + kept) from None
            time.sleep(workshop.policy.pause_s(fruitless))


class _Transfer:
    """One file on its way."""

    def __init__(
        self,
        web: HttpClient,
        address: RemoteFile,
        part: Path,
        workshop: ImageContext,
        known: Fetched | None,
        unless: str,
        sums: TrailingHash,
        followers: Sequence[Follower],
    ) -> None:
        self.web = web
        self.address = address
        self.part = part
        self.tag_file = part.with_suffix(".etag")
        self.workshop = workshop
        self.known = known
        self.unless = unless
        self.sums = sums
        self.followers = (sums, *followers)
        self.followed = False

    def attempt(self) -> DownloadResult:
        """One request."""
        ask = self.address.ask(self.web)
        tag, have = self._resumable()
        headers = {"Range": f"bytes={have}-", ask.condition: tag} if tag else {}
        if self.unless and not tag:
            headers["If-None-Match"] = self.unless
        with closing(self.web.open(ask, headers)) as response:
            if response.status_code == requests.codes.not_modified and self.unless:
                return DownloadResult(unchanged=True)
            if tag and is_complete_at(response, have):
                return self._receive(response, have, have, whole=True)
            going_on = self._going_on(response, tag)
            start, total = self._extent(response, have if going_on else 0)
            self._compare(response, total)
            if not going_on:
                self._forget()
                self._remember(strong_etag(response))
            self.workshop.store.check_space((total or 0) - start, self.address.shown())
            return self._receive(response, start, total)

    def _going_on(self, response: requests.Response, tag: str) -> bool:
        """Whether what comes follows what is here. Raises BrokenOffError when it began with another file."""
        shown = self.address.shown()
        if tag and response.status_code in {
            requests.codes.requested_range_not_satisfiable,
            requests.codes.precondition_failed,
        }:
            self._forget()
            raise TransferInterruptedError("the server has another file than was begun")
        check_status(shown, response)
        if not tag or response.status_code != requests.codes.partial_content:
            return False
        if response.headers.get("ETag", tag) != tag:
            self._forget()
            raise TransferInterruptedError("the file changed at the server")
        return True

    def _extent(self, response: requests.Response, start: int) -> tuple[int, int | None]:
        """Where the answer begins, and the length of the whole file where the server tells.

        Raises BrokenOffError when another part came than was asked for: the next try asks for the whole.
        """
        told = response.headers.get("Content-Range", "")
        if response.status_code != requests.codes.partial_content or not (told or start):
            return 0, content_length(response)
        found = content_range(response)
        if found is not None and found[0] == start and (start or found[2] in {None, found[1] + 1}):
            return start, found[2]
        if start:
            self._forget()
            raise TransferInterruptedError(f"the server answers a request for bytes {start} onwards with {told[:80] or 'none'}")
        raise download_error(self.address.shown(), f"the server sends only a part of it ({told[:80]}), though all was asked for")

    def _compare(self, response: requests.Response, total: int | None) -> None:
        """Refuse a file that cannot be the known one, before it is transferred."""
        if self.known is not None and total is not None and total != self.known.blob.size_bytes:
            raise changed_file_error(self.address.shown(), self.known, f"{total} bytes", last_modified(response))

    def _receive(self, response: requests.Response, start: int, total: int | None, *, whole: bool = False) -> DownloadResult:
        """``whole``: all of it is here, and what the server answers is only to say so."""
        done, pace = start, _Pace(self.workshop)
        with self.part.open("r+b" if start else "wb", buffering=0) as file:
            if start:  # an empty file that is cut to nothing would be flushed on closing, by ext4
                file.truncate(start)
            if not (start and self.followed):
                self.followed = True
                for each in self.followers:
                    each.start(total)
            self._came(start)
            space_at = done + SPACE_CHECK_INTERVAL_BYTES
            while not whole and (piece := response.raw.read1(CHUNK_BYTES)):
                if done + len(piece) > (self.workshop.policy.max_bytes if total is None else total):
                    raise download_error(self.address.shown(), "the server sends more than it announced")
                if not done and is_web_page(piece):
                    raise download_error(self.address.shown(), f"the server sends a web page instead of an image: {PAGES}")
                self._write(file.fileno(), piece, done)
                done += len(piece)
                self._came(done)
                if done >= space_at:
                    self.workshop.store.check_space(
                        SPACE_CHECK_INTERVAL_BYTES if total is None else total - done, self.address.shown()
                    )
                    space_at = done + SPACE_CHECK_INTERVAL_BYTES
                pace.advance(len(piece))
                self.workshop.step("downloading", done, total)
            if total is not None and done < total:
                raise TransferInterruptedError(f"{done} of {total} bytes came")
        for each in self.followers:
            each.finish()
        return DownloadResult(
            sha256=self.sums.hex("sha256"),
            sha512=self.sums.hex("sha512") if "sha512" in self.sums.kinds else "",
            size_bytes=done,
            published=last_modified(response),
            etag=strong_etag(response),
            url=response.url,
        )

    def _write(self, handle: int, piece: bytes, at: int) -> None:
        """Long stretches of zeros become holes. The file is never shorter than what came."""
        try:
            reach("images.download")
            write_sparse_at(handle, piece, at)
            if not piece[-1]:
                os.ftruncate(handle, at + len(piece))
        except OSError as error:
            detail = f"{self.part} cannot be written: {error.strerror or error}. What came so far is kept."
            raise ImageError("No room for the image", detail) from None

    def _came(self, so_far: int) -> None:
        for each in self.followers:
            each.advance(so_far)

    def _resumable(self) -> tuple[str, int]:
        """The strong ETag that the part began with, and its length; an empty one when it cannot be continued."""
        try:
            kept: Any = json.loads(self.tag_file.read_text(encoding="utf-8"))
            tag, whose, have = str(kept["etag"]), str(kept["from"]), self.part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0
        return (tag, have) if have and tag.startswith('"') and whose == self.address.shown() else ("", 0)

    def _remember(self, tag: str) -> None:
        if tag:
            self.tag_file.write_text(json.dumps({"etag": tag, "from": self.address.shown()}), encoding="utf-8")

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.tag_file.unlink(missing_ok=True)


class _Pace:
    """Notices a server that sends next to nothing, which a limit for each read never would."""

    def __init__(self, workshop: ImageContext) -> None:
        self._patience = workshop.policy
        self._since = time.monotonic()
        self._bytes = 0

    def advance(self, count: int) -> None:
        self._bytes += count
        lasted = time.monotonic() - self._since
        if lasted >= self._patience.slow_for_s:
            if self._bytes < self._patience.min_bytes_per_s * lasted:
                raise TransferInterruptedError(f"only {self._bytes} bytes came in {lasted:.0f} s")
            self._since, self._bytes = time.monotonic(), 0


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
