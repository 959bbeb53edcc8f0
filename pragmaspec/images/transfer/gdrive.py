"""Files and folders of Google Drive: through its REST API (v3) with credentials, without them as a browser would.

Sources: "Google Drive API v3, files.get and files.list". The public site is undocumented, and handled as other programs do:
``/uc?export=download`` answers with the file, or for a large one with a page that contains a confirmation form;
``/embeddedfolderview`` answers with the listing of a folder.
"""

import json
import re
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlencode

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.settings import GoogleDriveSettings
from pragmaspec.images.transfer.folders import RemoteFolder
from pragmaspec.images.transfer.google_account import ServiceAccount
from pragmaspec.images.transfer.http import (
    DownloadClient,
    RemoteFile,
    RequestSpec,
    check_status,
    download_error,
    read_limited,
)
from pragmaspec.net.urls import ASCII, Url, UrlError, is_downgrade, parse_url, resolve_reference, same_server
from pragmaspec.text import few
from pragmaspec.typing import override

_HOSTS = {"drive.google.com", "docs.google.com", "drive.usercontent.google.com"}
_ID = "[A-Za-z0-9_-]{10,}"
_FILE_PATH = re.compile(rf"/(?:u/\d+/)?file/(?:u/\d+/)?d/({_ID})(?:/.*)?")
_FOLDER_PATH = re.compile(rf"/(?:drive/)?(?:u/\d+/)?folders/({_ID})(?:/([^/]+))?/?")
_MAX_PAGES = 100
_SHOWN_NAMES = 20
_FOLDER_TYPE = "application/vnd.google-apps.folder"


class DriveLink(NamedTuple):
    """A parsed link: the file ``file``, or the folder ``folder`` and optionally the file ``name`` in it; IDs as in URLs."""

    file: str = ""
    folder: str = ""
    name: str = ""
    resource_key: str = ""


def parse_drive_link(url: str, site: str = "") -> DriveLink | None:
    """Parse a link to Google Drive, or to ``site`` in its place; None for any other URL."""
    try:
        parts = parse_url(url)
    except UrlError:
        return None
    if parts.host not in _HOSTS and not (site and same_server(url, site)):
        return None
    query = parse_qs(parts.query)
    key = query.get("resourcekey", [""])[0]
    if found := _FILE_PATH.fullmatch(parts.path):
        return DriveLink(file=found[1], resource_key=key)
    if found := _FOLDER_PATH.fullmatch(parts.path):
        return DriveLink(folder=found[1], name=found[2] or "", resource_key=key)
    file_id = query.get("id", [""])[0]
    return DriveLink(file=file_id, resource_key=key) if re.fullmatch(_ID, file_id) else None


def parse_drive_folder(url: str, settings: GoogleDriveSettings) -> DriveLink | None:
    """Parse a link to a folder of Google Drive; None for any other URL."""
    link = parse_drive_link(url, settings.site)
    return link if link and link.folder else None


class DriveAccess:
    """Access to Google Drive as a service account, with an API key, or as anyone with the link."""

    def __init__(self, settings: GoogleDriveSettings) -> None:
        self.settings = settings
        self._account = ServiceAccount(settings.service_account) if settings.service_account else None

    @property
    def has_credentials(self) -> bool:
        """True if the REST API can be used."""
        return bool(self._account or self.settings.api_key)

    def headers(self, client: DownloadClient, link: DriveLink) -> tuple[tuple[str, str], ...]:
        """Return the headers that authenticate a request. Raises ImageError and TRANSPORT_ERRORS."""
        key = link.resource_key and f"{link.file or link.folder}/{link.resource_key}"
        more = (("X-Goog-Drive-Resource-Keys", key),) if key else ()
        if self._account:
            return (("Authorization", f"Bearer {self._account.token(client)}"), *more)
        return (("X-Goog-Api-Key", self.settings.api_key), *more)

    def api_url(self, path: str, **query: str) -> str:
        """Return the URL of an API call."""
        return f"{self.settings.api}/drive/v3/{path}?{urlencode({**query, 'supportsAllDrives': 'true'})}"

    def site_url(self, path: str, link: DriveLink, **query: str) -> str:
        """Return a URL of the public site."""
        key = {"resourcekey": link.resource_key} if link.resource_key else {}
        return f"{self.settings.site}/{path}?{urlencode({**query, **key})}"


class DriveFile(RemoteFile):
    """A file of Google Drive."""

    def __init__(self, link: DriveLink, access: DriveAccess, display_name: str = "") -> None:
        self._link = link
        self._access = access
        self._display_name = display_name

    @override
    def display_name(self) -> str:
        return self._display_name or f"https://drive.google.com/file/d/{self._link.file}/view"

    @override
    def request(self, client: DownloadClient) -> RequestSpec:
        access, link = self._access, self._link
        if access.has_credentials:
            return RequestSpec(url=access.api_url(f"files/{link.file}", alt="media"), headers=access.headers(client, link))
        url = access.site_url("uc", link, export="download", id=link.file)
        with client.open(RequestSpec(url=url)) as response:
            check_status(self.display_name(), response)
            if not response.headers.get("Content-Type", "").lower().startswith("text/html"):
                return RequestSpec(url=url)
            page, base = read_limited(self.display_name(), response).decode(errors="replace"), response.url
        return RequestSpec(url=self._confirmed_url(page, base))

    def _confirmed_url(self, page: str, base: str) -> str:
        """Return the URL to which the confirmation form of ``page`` leads. Raises ImageError."""
        form = _ConfirmationForm()
        form.feed(page)
        target = _form_target(base, form.action)
        if target is None:
            reason = (
                "Google Drive sends a page instead of the file: the file is not shared with everyone who has the link, or its "
                "download limit for today is exceeded. Share it, or set a service account or an API key (docs/images.md)"
            )
            raise download_error(self.display_name(), reason)
        return target._replace(query="&".join(filter(None, (target.query, urlencode(form.fields))))).text


class DriveFolder(RemoteFolder):
    """A folder of Google Drive."""

    def __init__(self, link: DriveLink, context: ImageContext) -> None:
        super().__init__(context)
        self._link = link
        self._access = DriveAccess(context.settings.drive)
        self._files: dict[str, DriveLink] | None = None

    @override
    def origin(self) -> str:
        return f"https://drive.google.com/drive/folders/{self._link.folder}"

    @override
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._list()))

    @override
    def file(self, name: str) -> DriveFile | None:
        link = self._list().get(name)
        return DriveFile(link, self._access, f"{self.origin()}/{name}") if link else None

    def _list(self) -> dict[str, DriveLink]:
        """Return the files by name. Raises ImageError, also if two files have the same name, which would be ambiguous."""
        if self._files is None:
            by = self._list_by_api if self._access.has_credentials else self._list_by_page
            with DownloadClient(self.context.policy) as client:
                entries = client.with_retries(self.origin(), lambda: by(client))
            names = [name for name, _ in entries]
            duplicates = sorted({name for name in names if names.count(name) > 1})
            if duplicates:
                detail = f"{self.origin()} has several files named {duplicates[0]}. Rename or remove all but one."
                raise ImageError("Folder is ambiguous", detail)
            self._files = dict(entries)
        return self._files

    def _list_by_api(self, client: DownloadClient) -> list[tuple[str, DriveLink]]:
        entries: list[tuple[str, DriveLink]] = []
        token = ""
        for _ in range(_MAX_PAGES):
            query = {
                "q": f"'{self._link.folder}' in parents and trashed=false",
                "fields": "nextPageToken,files(id,name,mimeType)",
                "pageSize": "1000",
                "includeItemsFromAllDrives": "true",
                **({"pageToken": token} if token else {}),
            }
            page = self._call_api(client, self._access.api_url("files", **query))
            for each in page.get("files", []):
                slash = "/" if each.get("mimeType") == _FOLDER_TYPE else ""
                entries.append((f"{each['name']}{slash}", DriveLink(file=str(each["id"]))))
            token = str(page.get("nextPageToken", ""))
            if not token:
                break
        return entries

    def _call_api(self, client: DownloadClient, url: str) -> dict[str, Any]:
        with client.open(RequestSpec(url=url, headers=self._access.headers(client, self._link))) as response:
            check_status(self.origin(), response)
            body = read_limited(self.origin(), response)
        try:
            page: dict[str, Any] = json.loads(body)
            [(each["name"], each["id"]) for each in page.get("files", [])]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise download_error(self.origin(), "the server does not answer like Google Drive") from None
        return page

    def _list_by_page(self, client: DownloadClient) -> list[tuple[str, DriveLink]]:
        url = self._access.site_url("embeddedfolderview", self._link, id=self._link.folder)
        with client.open(RequestSpec(url=url)) as response:
            check_status(self.origin(), response)
            page = read_limited(self.origin(), response).decode(errors="replace")
        listing = _FolderListing()
        listing.feed(page)
        if not listing.entries:
            raise download_error(self.origin(), "the folder is empty, or not shared with everyone who has the link")
        return listing.entries


def drive_file(link: DriveLink, context: ImageContext) -> RemoteFile:
    """Return the file of ``link``; a link to a folder must name the file unless the folder has only one. Raises ImageError."""
    if link.file:
        return DriveFile(link, DriveAccess(context.settings.drive))
    folder = DriveFolder(link, context)
    names = [link.name] if link.name else [name for name in folder.names() if not name.endswith("/")]
    file = folder.file(names[0]) if len(names) == 1 else None
    if file is None:
        detail = (
            f"{folder.origin()} contains {few(folder.names(), _SHOWN_NAMES)}. Add the name of the file to the link: "
            f"…/folders/{link.folder}/disk.qcow2."
        )
        raise ImageError("File of the folder not named", detail)
    return file


def _form_target(base: str, action: str) -> Url | None:
    """Return the target of a form on the page at ``base``; None if it is invalid, less secure, or not a server of Google."""
    try:
        page = parse_url(base)
        target = resolve_reference(page, quote(action, safe=ASCII))
    except UrlError:
        return None
    trusted = target.server == page.server or target.host.endswith((".google.com", ".googleusercontent.com"))
    return target if action and trusted and not is_downgrade(page, target) else None


class _ConfirmationForm(HTMLParser):
    """The form that confirms the download of a large file."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: list[tuple[str, str]] = []
        self._inside = False

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form" and attributes.get("id") == "download-form":
            self.action, self._inside = attributes.get("action", ""), True
        elif tag == "input" and self._inside and attributes.get("type") == "hidden" and attributes.get("name"):
            self.fields.append((attributes["name"], attributes.get("value", "")))

    @override
    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"


class _FolderListing(HTMLParser):
    """The entries of a folder's page: links that contain a title."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[tuple[str, DriveLink]] = []
        self._link: DriveLink | None = None
        self._title: list[str] | None = None

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a":
            self._link = parse_drive_link(attributes.get("href", ""))
        elif tag == "div" and attributes.get("class") == "flip-entry-title":
            self._title = []

    @override
    def handle_data(self, data: str) -> None:
        if self._title is not None:
            self._title.append(data)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._title is not None and self._link is not None:
            name, link = "".join(self._title).strip(), self._link
            if link.folder:
                name, link = f"{name}/", DriveLink(folder=link.folder)
            self.entries.append((name, link))
            self._title = None
