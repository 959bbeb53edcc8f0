"""Folders of files, local or on a web server that lists them. Files are addressed by plain names."""

import os
import re
import shutil
from abc import abstractmethod
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.store.blobs import file_sha256
from pragmaspec.images.transfer.cloudfront import WebFile
from pragmaspec.images.transfer.download import DownloadResult, download
from pragmaspec.images.transfer.http import MAX_SMALL_BYTES, DownloadClient, RemoteFile
from pragmaspec.net.urls import ASCII, UrlError, parse_url, redact_url, resolve_reference
from pragmaspec.typing import override

_PLAIN_NAME = re.compile(r"[^/\\\x00-\x1f]+")


class Folder(Protocol):
    """A folder of files. Names contain no slash, except that those of subfolders end with one."""

    def origin(self) -> str:
        """A name for display, without credentials."""
        ...

    def names(self) -> tuple[str, ...]:
        """The sorted names of its files and subfolders. Raises ImageError, also if the folder cannot be listed."""
        ...

    def read_small(self, name: str) -> bytes | None:
        """The content of a small file; None if it does not exist. Raises ImageError."""
        ...

    def fetch(self, name: str, part: Path) -> DownloadResult:
        """Copy a file to ``part``, resuming an earlier download where that is safe. Raises ImageError."""
        ...


class LocalFolder(Folder):
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    def origin(self) -> str:
        return str(self._path)

    @override
    def names(self) -> tuple[str, ...]:
        try:
            with os.scandir(self._path) as entries:
                return tuple(sorted(entry.name + ("/" if entry.is_dir() else "") for entry in entries))
        except OSError as error:
            raise folder_error(f"{self._path}: {error.strerror}") from None

    @override
    def read_small(self, name: str) -> bytes | None:
        try:
            with (self._path / check_plain_name(name)).open("rb") as file:
                content = file.read(MAX_SMALL_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise folder_error(f"{self._path / name}: {error.strerror}") from None
        if len(content) > MAX_SMALL_BYTES:
            raise folder_error(
                f"{self._path / name} has more than {MAX_SMALL_BYTES // 2**20} MiB where a small file was expected"
            )
        return content

    @override
    def fetch(self, name: str, part: Path) -> DownloadResult:
        try:
            shutil.copyfile(self._path / check_plain_name(name), part)
        except OSError as error:
            raise folder_error(f"{self._path / name}: {error.strerror}") from None
        return DownloadResult(sha256=file_sha256(part), size_bytes=part.stat().st_size)


class RemoteFolder(Folder):
    """A folder on the network, each file of which has its own URL."""

    def __init__(self, context: ImageContext) -> None:
        self.context = context

    @abstractmethod
    def file(self, name: str) -> RemoteFile | None:
        """A file of the folder; None if the folder is known not to have it."""

    @override
    def read_small(self, name: str) -> bytes | None:
        file = self.file(check_plain_name(name))
        if file is None:
            return None
        with DownloadClient(self.context.policy) as client:
            return client.read_small(file)

    @override
    def fetch(self, name: str, part: Path) -> DownloadResult:
        file = self.file(check_plain_name(name))
        if file is None:
            raise folder_error(f"{self.origin()} has no file {name}")
        return download(file, part, self.context)


class WebFolder(RemoteFolder):
    """A folder of a web server. Listing it requires that the server generates an index page."""

    def __init__(self, url: str, context: ImageContext) -> None:
        super().__init__(context)
        base, mark, query = url.partition("#")[0].partition("?")
        self._url = base.rstrip("/") + "/"
        self._query = mark + query

    @override
    def origin(self) -> str:
        return redact_url(self._url)

    @override
    def file(self, name: str) -> WebFile:
        return WebFile(url=self._url + quote(name) + self._query, signing=self.context.settings.cloudfront)

    @override
    def names(self) -> tuple[str, ...]:
        index = WebFile(url=self._url + self._query, signing=self.context.settings.cloudfront)
        with DownloadClient(self.context.policy) as client:
            page = client.read_small(index)
        if page is None:
            raise folder_error(f"{self.origin()} does not exist")
        return parse_listing(page.decode(errors="replace"), self._url)


def parse_listing(page: str, url: str) -> tuple[str, ...]:
    """Return the sorted names to which ``page``, the index page of the folder at ``url``, links."""
    parser = _LinkParser()
    parser.feed(page)
    base = parse_url(url)
    folder_path = unquote(base.path)
    names = set()
    for link in parser.links:
        try:
            target = resolve_reference(base, quote(link, safe=ASCII))
        except UrlError:
            continue
        path = unquote(target.path)
        if target.server != base.server or target.query or not path.startswith(folder_path):
            continue
        name = path[len(folder_path) :]
        if name and _PLAIN_NAME.fullmatch(name.removesuffix("/")) and name not in {"./", "../"}:
            names.add(name)
    return tuple(sorted(names))


class _LinkParser(HTMLParser):
    """Collects the targets of anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def check_plain_name(name: str) -> str:
    """Return ``name``. Raises ImageError unless it can only be that of a file in the folder itself."""
    if not _PLAIN_NAME.fullmatch(name) or name in {".", ".."}:
        raise folder_error(f"{name!r} is not a plain file name")
    return name


def folder_error(reason: str) -> ImageError:
    """Return the error for a folder that cannot be read; ``reason`` is a clause."""
    return ImageError("Folder cannot be read", f"{reason}.")
