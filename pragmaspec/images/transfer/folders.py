"""Folders: here, on a web server that lists its files, in a bucket, in a drive. What is in them is asked for by plain name."""

import os
import re
import shutil
from abc import ABC, abstractmethod
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.store.blobs import file_sha256
from pragmaspec.images.transfer.cloudfront import WebFile
from pragmaspec.images.transfer.download import DownloadResult, download
from pragmaspec.images.transfer.http import MAX_SMALL_BYTES, HttpClient, RemoteFile
from pragmaspec.net.urls import ASCII, UrlError, check_remote_url, is_remote, is_url, parse_url, redact_url, resolve_reference

_PLAIN_NAME = re.compile(r"[^/\\\x00-\x1f]+")


class Folder(Protocol):
    """A place that holds files. Names have no slash in them, except that those of subfolders end with one."""

    def origin(self) -> str:
        """For people; without credentials."""
        ...

    def names(self) -> tuple[str, ...]:
        """What is in it, sorted. Raises ImageError, also when the place does not tell."""
        ...

    def small(self, name: str) -> bytes | None:
        """A short file whole; None when it is not there. Raises ImageError."""
        ...

    def fetch(self, name: str, part: Path) -> DownloadResult:
        """Bring a file to ``part``, continuing what was begun there where that is safe. Raises ImageError."""
        ...


def open_folder(address: str, workshop: ImageContext) -> Folder:
    """The folder at ``address``: a path, an http(s) URL, ``s3://bucket/prefix/``, a link to a folder of Google Drive."""
    from pragmaspec.images.transfer.gdrive import DriveFolder, parse_drive_folder  # noqa: PLC0415 - only loaded where it is needed
    from pragmaspec.images.transfer.s3 import S3Folder  # noqa: PLC0415

    try:
        check_remote_url(address)
    except UrlError as error:
        raise _unreadable(f"{redact_url(address)} cannot be used: {error}") from None
    if drive := parse_drive_folder(address, workshop.settings.drive):
        return DriveFolder(drive, workshop)
    if is_url(address, ("s3",)):
        return S3Folder(address, workshop)
    return WebFolder(address, workshop) if is_remote(address) else LocalFolder(Path(address))


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def origin(self) -> str:
        """Its path."""
        return str(self._path)

    def names(self) -> tuple[str, ...]:
        """The files, and the folders with a slash."""
        try:
            with os.scandir(self._path) as found:
                return tuple(sorted(entry.name + ("/" if entry.is_dir() else "") for entry in found))
        except OSError as error:
            raise _unreadable(f"{self._path}: {error.strerror}") from None

    def small(self, name: str) -> bytes | None:
        """A short file whole."""
        try:
            with (self._path / check_plain_name(name)).open("rb") as file:
                content = file.read(MAX_SMALL_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(f"{self._path / name}: {error.strerror}") from None
        if len(content) > MAX_SMALL_BYTES:
            raise _unreadable(f"{self._path / name} has more than {MAX_SMALL_BYTES // 2**20} MiB, and a short file was expected")
        return content

    def fetch(self, name: str, part: Path) -> DownloadResult:
        """Copy it."""
        try:
            shutil.copyfile(self._path / check_plain_name(name), part)
        except OSError as error:
            raise _unreadable(f"{self._path / name}: {error.strerror}") from None
        return DownloadResult(sha256=file_sha256(part), size_bytes=part.stat().st_size)


class RemoteFolder(ABC):
    """What folders on the network have in common: files are asked for by their own addresses."""

    def __init__(self, workshop: ImageContext) -> None:
        self.workshop = workshop

    @abstractmethod
    def address(self, name: str) -> RemoteFile | None:
        """Of a file in it; None when it is known not to be there."""

    @abstractmethod
    def origin(self) -> str:
        """For people."""

    def small(self, name: str) -> bytes | None:
        """A short file whole."""
        address = self.address(check_plain_name(name))
        if address is None:
            return None
        with HttpClient(self.workshop.policy) as web:
            return web.small(address)

    def fetch(self, name: str, part: Path) -> DownloadResult:
        """Download it."""
        address = self.address(check_plain_name(name))
        if address is None:
            raise _unreadable(f"{self.origin()} has no file {name}")
        return download(address, part, self.workshop)


class WebFolder(RemoteFolder):
    """A folder of a web server. Its names come from the listing that servers make of folders, where they do."""

    def __init__(self, url: str, workshop: ImageContext) -> None:
        super().__init__(workshop)
        base, mark, query = url.partition("#")[0].partition("?")
        self._url = base.rstrip("/") + "/"
        self._query = mark + query

    def origin(self) -> str:
        """The URL without query."""
        return redact_url(self._url)

    def address(self, name: str) -> WebFile:
        """Of a file in it."""
        return WebFile(url=self._url + quote(name) + self._query, signing=self.workshop.settings.cloudfront)

    def names(self) -> tuple[str, ...]:
        """What the listing links to, one level down."""
        listing = WebFile(url=self._url + self._query, signing=self.workshop.settings.cloudfront)
        with HttpClient(self.workshop.policy) as web:
            page = web.small(listing)
        if page is None:
            raise _unreadable(f"{self.origin()} is not there")
        return parse_listing(page.decode(errors="replace"), self._url)


def parse_listing(page: str, url: str) -> tuple[str, ...]:
    """The names that the listing ``page`` of the folder at ``url`` links to, sorted."""
    links = _Links()
    links.feed(page)
    base = parse_url(url)
    here = unquote(base.path)
    found = set()
    for link in links.found:
        try:
            target = resolve_reference(base, quote(link, safe=ASCII))
        except UrlError:
            continue
        path = unquote(target.path)
        if target.server != base.server or target.query or not path.startswith(here):
            continue
        name = path[len(here) :]
        if name and _PLAIN_NAME.fullmatch(name.removesuffix("/")) and name not in {"./", "../"}:
            found.add(name)
    return tuple(sorted(found))


class _Links(HTMLParser):
    """Where the anchors of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def check_plain_name(name: str) -> str:
    """``name``, when it is that of a file in the folder itself. Raises ImageError."""
    if not _PLAIN_NAME.fullmatch(name) or name in {".", ".."}:
        raise _unreadable(f"{name!r} is not the plain name of a file")
    return name


def _unreadable(why: str) -> ImageError:
    return ImageError("Folder cannot be read", f"{why}.")
