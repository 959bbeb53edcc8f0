"""Download of one file over HTTP, resumed where that is safe. The caller must compare the digest before using the file."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import requests

from pragmaspec.errors import ImageError
from pragmaspec.failpoints import reach
from pragmaspec.frozen import Frozen
from pragmaspec.images.context import ImageContext
from pragmaspec.images.formats.sparse import write_sparse_at
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.images.transfer.cloudfront import WebFile
from pragmaspec.images.transfer.digest_checks import changed_file_error
from pragmaspec.images.transfer.http import (
    DownloadClient,
    RemoteFile,
    check_status,
    content_length,
    content_range,
    download_error,
    explain_attempts,
    is_complete_at,
    is_web_page,
    last_modified,
)
from pragmaspec.images.transfer.trailing_hash import TrailingHash
from pragmaspec.net.errors import TRANSPORT_ERRORS, TransferInterruptedError, is_permanent, max_attempts
from pragmaspec.net.http import CHUNK_BYTES, strong_etag

SPACE_CHECK_INTERVAL_BYTES = 256 * 2**20
WEB_PAGE_KINDS = "a login page, an error page or a list of mirrors"


class DownloadResult(Frozen, frozen=True):
    """A downloaded file. ``url`` is its URL after redirects; ``etag`` is empty unless strong.

    ``unchanged``: the server confirmed the ETag that the caller knows, and nothing was downloaded.
    """

    sha256: str = ""
    size_bytes: int = 0
    sha512: str = ""
    published: str = ""
    etag: str = ""
    url: str = ""
    unchanged: bool = False


class Follower(Protocol):
    """Reads the file while it grows."""

    def start(self, total_bytes: int | None) -> None:
        """The file exists and grows from its first byte; ``total_bytes`` is its final size, None if unknown."""
        ...

    def advance(self, size_bytes: int) -> None:
        """The first ``size_bytes`` bytes are written, and unchanged until the next :meth:`start`."""
        ...

    def finish(self) -> None:
        """The file is complete, but its digest is not yet verified."""
        ...


class DownloadOptions(Frozen, frozen=True):
    """Conditions of a download.

    ``pinned`` is the expected file: another one is rejected, if possible before its transfer. ``unless_etag``: download nothing
    while the file has this ETag. ``sha512``: compute that digest too.
    """

    pinned: Fetched | None = None
    unless_etag: str = ""
    sha512: bool = False


UNCONDITIONAL = DownloadOptions()


def download(
    file: str | RemoteFile,
    part: Path,
    context: ImageContext,
    options: DownloadOptions = UNCONDITIONAL,
    followers: Sequence[Follower] = (),
) -> DownloadResult:
    """Download ``file`` (or the URL) to ``part``. Raises ImageError.

    An existing ``part`` is resumed only if the server confirms its strong ETag (RFC 9110, section 13.1.5); otherwise the download
    starts over. Interrupted transfers are retried until the policy's number of consecutive attempts have transferred nothing.
    """
    if isinstance(file, str):
        file = WebFile(url=file, signing=context.settings.cloudfront)
    fruitless, initial_bytes = 0, _size(part)
    with _Download(file, part, context, options, followers) as transfer:
        while True:
            size_before = _size(part)
            try:
                return transfer.attempt()
            except TRANSPORT_ERRORS as error:
                fruitless = 0 if _size(part) > size_before else fruitless + 1
                limit = context.policy.tries
                # A server that has sent something deserves all attempts; one that was never reachable may get fewer.
                attempts = limit if _size(part) > initial_bytes else max_attempts(error, limit)
                if is_permanent(error) or fruitless >= attempts:
                    kept = ". The part downloaded so far is kept" if _size(part) else ""
                    raise download_error(file.display_name(), explain_attempts(fruitless, error) + kept) from None
            time.sleep(context.policy.pause_s(fruitless))


class _Download:
    """The download of one file in any number of attempts."""

    def __init__(
        self, file: RemoteFile, part: Path, context: ImageContext, options: DownloadOptions, followers: Sequence[Follower]
    ) -> None:
        self._file = file
        self._part = part
        self._etag_file = part.with_suffix(".etag")
        self._context = context
        self._options = options
        kinds = ("sha256", "sha512") if options.sha512 else ("sha256",)
        self._hash = TrailingHash(part, kinds, lambda done, total: context.step("hashing", done, total))
        self._followers = (self._hash, *followers)
        self._has_begun = False
        self._client = DownloadClient(context.policy)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._hash.stop()
        self._client.close()

    def attempt(self) -> DownloadResult:
        """Request the missing part of the file and write it."""
        spec = self._file.request(self._client)
        etag, size_bytes = self._resumable()
        headers = {"Range": f"bytes={size_bytes}-", spec.condition: etag} if etag else {}
        if self._options.unless_etag and not etag:
            headers["If-None-Match"] = self._options.unless_etag
        with self._client.open(spec, headers) as response:
            if response.status_code == requests.codes.not_modified and self._options.unless_etag:
                return DownloadResult(unchanged=True)
            if etag and is_complete_at(response, size_bytes):
                return self._receive(response, size_bytes, size_bytes, complete=True)
            resumed = self._is_resumed(response, etag)
            start, total = self._extent(response, size_bytes if resumed else 0)
            self._compare_size(response, total)
            if not resumed:
                self._discard()
                self._remember_etag(strong_etag(response))
            self._context.store.check_space((total or 0) - start, self._file.display_name())
            return self._receive(response, start, total)

    def _is_resumed(self, response: requests.Response, etag: str) -> bool:
        """True if the response continues ``part``. Raises TransferInterruptedError if the file changed at the server."""
        if etag and response.status_code in {
            requests.codes.requested_range_not_satisfiable,
            requests.codes.precondition_failed,
        }:
            self._discard()
            raise TransferInterruptedError("the file changed at the server")
        check_status(self._file.display_name(), response)
        if not etag or response.status_code != requests.codes.partial_content:
            return False
        if response.headers.get("ETag", etag) != etag:
            self._discard()
            raise TransferInterruptedError("the file changed at the server")
        return True

    def _extent(self, response: requests.Response, start: int) -> tuple[int, int | None]:
        """Return the offset at which the response starts, and the size of the whole file, None if unknown.

        Raises TransferInterruptedError for another range than requested; the next attempt requests the whole file.
        """
        header = response.headers.get("Content-Range", "")
        if response.status_code != requests.codes.partial_content or not (header or start):
            return 0, content_length(response)
        found = content_range(response)
        if found is not None and found[0] == start and (start or found[2] in {None, found[1] + 1}):
            return start, found[2]
        if start:
            self._discard()
            raise TransferInterruptedError(f"the server answered a request for bytes {start}- with {header[:80] or 'no range'}")
        raise download_error(self._file.display_name(), f"the server sends only a part of the file ({header[:80]}) unasked")

    def _compare_size(self, response: requests.Response, total: int | None) -> None:
        """Raise ImageError if the announced size shows that the file is not the pinned one."""
        pinned = self._options.pinned
        if pinned is not None and total is not None and total != pinned.blob.size_bytes:
            raise changed_file_error(self._file.display_name(), pinned, f"{total} bytes", last_modified(response))

    def _receive(self, response: requests.Response, start: int, total: int | None, *, complete: bool = False) -> DownloadResult:
        """Write the body from offset ``start``. ``complete``: ``part`` is already the whole file, and the body is ignored."""
        with self._part.open("r+b" if start else "wb", buffering=0) as file:
            if start:  # on ext4, closing a file that was truncated to 0 flushes it
                file.truncate(start)
            if not (start and self._has_begun):
                self._has_begun = True
                for follower in self._followers:
                    follower.start(total)
            self._advance(start)
            done = start if complete else self._write_body(file.fileno(), response, start, total)
        for follower in self._followers:
            follower.finish()
        return DownloadResult(
            sha256=self._hash.hexdigest("sha256"),
            sha512=self._hash.hexdigest("sha512") if self._options.sha512 else "",
            size_bytes=done,
            published=last_modified(response),
            etag=strong_etag(response),
            url=response.url,
        )

    def _write_body(self, handle: int, response: requests.Response, start: int, total: int | None) -> int:
        """Write the body and return the size of the file. Raises ImageError and TRANSPORT_ERRORS."""
        policy, name = self._context.policy, self._file.display_name()
        limit = policy.max_bytes if total is None else total
        done, speed, next_check = start, _SpeedCheck(self._context), start + SPACE_CHECK_INTERVAL_BYTES
        while chunk := response.raw.read1(CHUNK_BYTES):
            if done + len(chunk) > limit:
                raise download_error(name, "the server sends more than it announced")
            if not done and is_web_page(chunk):
                raise download_error(name, f"the server sends a web page instead of an image: {WEB_PAGE_KINDS}")
            self._write(handle, chunk, done)
            done += len(chunk)
            self._advance(done)
            if done >= next_check:
                self._context.store.check_space(SPACE_CHECK_INTERVAL_BYTES if total is None else total - done, name)
                next_check = done + SPACE_CHECK_INTERVAL_BYTES
            speed.add(len(chunk))
            self._context.step("downloading", done, total)
        if total is not None and done < total:
            raise TransferInterruptedError(f"only {done} of {total} bytes arrived")
        return done

    def _write(self, handle: int, chunk: bytes, offset: int) -> None:
        """Write ``chunk``, with long runs of zeros as holes. The file always has its logical size."""
        try:
            reach("images.download")
            write_sparse_at(handle, chunk, offset)
            if not chunk[-1]:
                os.ftruncate(handle, offset + len(chunk))
        except OSError as error:
            raise ImageError(
                "Not enough disk space for the image",
                f"{self._part} cannot be written: {error.strerror or error}. The part downloaded so far is kept.",
            ) from None

    def _advance(self, size_bytes: int) -> None:
        for follower in self._followers:
            follower.advance(size_bytes)

    def _resumable(self) -> tuple[str, int]:
        """Return the strong ETag of ``part`` and its size; an empty ETag if it cannot be resumed."""
        try:
            kept: Any = json.loads(self._etag_file.read_text(encoding="utf-8"))
            etag, origin, size_bytes = str(kept["etag"]), str(kept["from"]), self._part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return "", 0
        return (etag, size_bytes) if size_bytes and etag.startswith('"') and origin == self._file.display_name() else ("", 0)

    def _remember_etag(self, etag: str) -> None:
        if etag:
            self._etag_file.write_text(json.dumps({"etag": etag, "from": self._file.display_name()}), encoding="utf-8")

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._etag_file.unlink(missing_ok=True)


class _SpeedCheck:
    """Detects a server that sends almost nothing, which the timeout of single reads never would."""

    def __init__(self, context: ImageContext) -> None:
        self._policy = context.policy
        self._since = time.monotonic()
        self._bytes = 0

    def add(self, size_bytes: int) -> None:
        """Count received bytes. Raises TransferInterruptedError if the transfer is too slow."""
        self._bytes += size_bytes
        elapsed_s = time.monotonic() - self._since
        if elapsed_s >= self._policy.slow_for_s:
            if self._bytes < self._policy.min_bytes_per_s * elapsed_s:
                raise TransferInterruptedError(f"only {self._bytes} bytes arrived in {elapsed_s:.0f} s")
            self._since, self._bytes = time.monotonic(), 0


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
