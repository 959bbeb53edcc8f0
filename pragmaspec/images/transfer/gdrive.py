"""Files and folders of Google Drive: with a key through its REST interface (v3), without one as a browser would.

Sources: "Google Drive API v3, files.get and files.list". What the public site answers is documented nowhere, and is as other
programs read it: ``/uc?export=download`` gives the file, for a large one a page with a form to confirm; ``/embeddedfolderview``
gives the list of a folder.
"""

import json
import re
from contextlib import closing
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlencode

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.settings import GoogleDriveSettings
from pragmaspec.images.transfer.folders import RemoteFolder
from pragmaspec.images.transfer.google_account import ServiceAccount
from pragmaspec.images.transfer.http import HttpClient, RemoteFile, RequestSpec, check_status, download_error, read_limited
from pragmaspec.net.urls import ASCII, Url, UrlError, is_downgrade, parse_url, resolve_reference, same_server

_HOSTS = {"drive.google.com", "docs.google.com", "drive.usercontent.google.com"}
_ID = "[A-Za-z0-9_-]{10,}"
_FILE = re.compile(rf"/(?:u/\d+/)?file/(?:u/\d+/)?d/({_ID})(?:/.*)?")
_FOLDER = re.compile(rf"/(?:drive/)?(?:u/\d+/)?folders/({_ID})(?:/([^/]+))?/?")
_PAGES = 100
FOLDER_TYPE = "application/vnd.google-apps.folder"


class DriveLink(NamedTuple):
    """What a link means: the file ``file``, or the folder ``folder`` and in it perhaps the file ``name``."""

    file: str = ""
    folder: str = ""
    name: str = ""
    resource_key: str = ""


def parse_drive_link(url: str, site: str = "") -> DriveLink | None:
    """What the link means, when it is one to Google Drive (or to ``site``, which stands for it)."""
    try:
        parts = parse_url(url)
    except UrlError:
        return None
    if parts.host not in _HOSTS and not (site and same_server(url, site)):
        return None
    query = parse_qs(parts.query)
    key = query.get("resourcekey", [""])[0]
    if found := _FILE.fullmatch(parts.path):
        return DriveLink(file=found[1], resource_key=key)
    if found := _FOLDER.fullmatch(parts.path):
        return DriveLink(folder=found[1], name=found[2] or "", resource_key=key)
    named = query.get("id", [""])[0]
    return DriveLink(file=named, resource_key=key) if re.fullmatch(_ID, named) else None


def parse_drive_folder(address: str, settings: GoogleDriveSettings) -> DriveLink | None:
    """What ``address`` means, when it is a folder of Google Drive."""
    found = parse_drive_link(address, settings.site)
    return found if found and found.folder else None


class DriveAccess:
    """Google Drive as the user may see it: as a service account, with an API key, or as everybody with the link."""

    def __init__(self, settings: GoogleDriveSettings) -> None:
        self.settings = settings
        self._account = ServiceAccount(settings.service_account) if settings.service_account else None

    @property
    def known(self) -> bool:
        """Whether there are credentials."""
        return bool(self._account or self.settings.api_key)

    def headers(self, web: HttpClient, link: DriveLink) -> tuple[tuple[str, str], ...]:
        """What shows who asks. Raises ImageError and BrokenOffError."""
        key = link.resource_key and f"{link.file or link.folder}/{link.resource_key}"
        more = (("X-Goog-Drive-Resource-Keys", key),) if key else ()
        if self._account:
            return (("Authorization", f"Bearer {self._account.token(web)}"), *more)
        return (("X-Goog-Api-Key", self.settings.api_key), *more)

    def api(self, path: str, **query: str) -> str:
        """The URL of a call."""
        return f"{self.settings.api}/drive/v3/{path}?{urlencode({**query, 'supportsAllDrives': 'true'})}"


class DriveFile:
    """A file of Google Drive."""

    def __init__(self, link: DriveLink, drive: DriveAccess, title: str = "") -> None:
        self._link = link
        self._drive = drive
        self._title = title

    def shown(self) -> str:
        """Its link."""
        return self._title or f"https://drive.google.com/file/d/{self._link.file}/view"

    def ask(self, web: HttpClient) -> RequestSpec:
        """The file's own URL; without credentials, the page that asks for a confirmation is answered first."""
        if self._drive.known:
            return RequestSpec(
                url=self._drive.api(f"files/{self._link.file}", alt="media"), headers=self._drive.headers(web, self._link)
            )
        key = {"resourcekey": self._link.resource_key} if self._link.resource_key else {}
        url = f"{self._drive.settings.site}/uc?{urlencode({'export': 'download', 'id': self._link.file, **key})}"
        with closing(web.open(RequestSpec(url=url))) as response:
            check_status(self.shown(), response)
            if not response.headers.get("Content-Type", "").lower().startswith("text/html"):
                return RequestSpec(url=url)
            page, base = read_limited(self.shown(), response).decode(errors="replace"), response.url
        return RequestSpec(url=self._confirmed(page, base))

    def _confirmed(self, page: str, base: str) -> str:
        form = _Form()
        form.feed(page)
        target = _target(base, form.action)
        if target is None:
            why = (
                "Google Drive shows a page instead of the file: it is not shared with everybody who has the link, or too many "
                "have taken it today. Share it, or set a service account or an API key (docs/images.md)"
            )
            raise download_error(self.shown(), why)
        return target._replace(query="&".join(filter(None, (target.query, urlencode(form.fields))))).text


class DriveFolder(RemoteFolder):
    """A folder of Google Drive."""

    def __init__(self, link: DriveLink, workshop: ImageContext) -> None:
        super().__init__(workshop)
        self._link = link
        self._drive = DriveAccess(workshop.settings.drive)
        self._files: dict[str, DriveLink] | None = None

    def origin(self) -> str:
        """Its link."""
        return f"https://drive.google.com/drive/folders/{self._link.folder}"

    def names(self) -> tuple[str, ...]:
        """What is in it."""
        return tuple(sorted(self._listed()))

    def address(self, name: str) -> DriveFile | None:
        """Of a file in it."""
        found = self._listed().get(name)
        return DriveFile(found, self._drive, f"{self.origin()}/{name}") if found else None

    def _listed(self) -> dict[str, DriveLink]:
        """The files by name. Raises ImageError, also when two have one name: a name has to say which bytes are meant."""
        if self._files is None:
            with HttpClient(self.workshop.policy) as web:
                listed = web.insist(self.origin(), lambda: self._by_api(web) if self._drive.known else self._by_page(web))
            names = [name for name, _ in listed]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                detail = f"{self.origin()} has several files called {twice[0]}. Rename or remove all but one."
                raise ImageError("Folder is ambiguous", detail)
            self._files = dict(listed)
        return self._files

    def _by_api(self, web: HttpClient) -> list[tuple[str, DriveLink]]:
        found: list[tuple[str, DriveLink]] = []
        token = ""
        for _ in range(_PAGES):
            query = {
                "q": f"'{self._link.folder}' in parents and trashed=false",
                "fields": "nextPageToken,files(id,name,mimeType)",
                "pageSize": "1000",
                "includeItemsFromAllDrives": "true",
                **({"pageToken": token} if token else {}),
            }
            page = self._call(web, self._drive.api("files", **query))
            for each in page.get("files", []):
                slash = "/" if each.get("mimeType") == FOLDER_TYPE else ""
                found.append((f"{each['name']}{slash}", DriveLink(file=str(each["id"]))))
            token = str(page.get("nextPageToken", ""))
            if not token:
                break
        return found

    def _call(self, web: HttpClient, url: str) -> dict[str, Any]:
        with closing(web.open(RequestSpec(url=url, headers=self._drive.headers(web, self._link)))) as response:
            check_status(self.origin(), response)
            body = read_limited(self.origin(), response)
        try:
            page: dict[str, Any] = json.loads(body)
            [(each["name"], each["id"]) for each in page.get("files", [])]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise download_error(self.origin(), "the server does not answer as Google Drive does") from None
        return page

    def _by_page(self, web: HttpClient) -> list[tuple[str, DriveLink]]:
        key = {"resourcekey": self._link.resource_key} if self._link.resource_key else {}
        url = f"{self._drive.settings.site}/embeddedfolderview?{urlencode({'id': self._link.folder, **key})}"
        with closing(web.open(RequestSpec(url=url))) as response:
            check_status(self.origin(), response)
            page = read_limited(self.origin(), response).decode(errors="replace")
        entries = _Entries()
        entries.feed(page)
        if not entries.found:
            raise download_error(self.origin(), "the folder is empty, or not shared with everybody who has the link")
        return entries.found


def _target(base: str, action: str) -> Url | None:
    """Where a form of the page at ``base`` leads; None when that is nowhere, less safe, or not a server of Google."""
    try:
        page = parse_url(base)
        target = resolve_reference(page, quote(action, safe=ASCII))
    except UrlError:
        return None
    known = target.server == page.server or target.host.endswith((".google.com", ".googleusercontent.com"))
    return target if action and known and not is_downgrade(page, target) else None


class _Form(HTMLParser):
    """The form of the page that asks for a confirmation."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: list[tuple[str, str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "form" and has.get("id") == "download-form":
            self.action, self._inside = has.get("action", ""), True
        elif tag == "input" and self._inside and has.get("type") == "hidden" and has.get("name"):
            self.fields.append((has["name"], has.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"


class _Entries(HTMLParser):
    """The entries of a folder's list: each a link with a title in it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, DriveLink]] = []
        self._link: DriveLink | None = None
        self._title: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        if tag == "a":
            self._link = parse_drive_link(has.get("href", ""))
        elif tag == "div" and has.get("class") == "flip-entry-title":
            self._title = []

    def handle_data(self, data: str) -> None:
        if self._title is not None:
            self._title.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._title is not None and self._link is not None:
            name, link = "".join(self._title).strip(), self._link
            if link.folder:
                name, link = f"{name}/", DriveLink(folder=link.folder)
            self.found.append((name, link))
            self._title = None


def drive_file(link: DriveLink, workshop: ImageContext) -> RemoteFile:
    """The file that ``link`` means; a folder has to name it, or hold only one. Raises ImageError."""
    if link.file:
        return DriveFile(link, DriveAccess(workshop.settings.drive))
    folder = DriveFolder(link, workshop)
    names = [link.name] if link.name else [name for name in folder.names() if not name.endswith("/")]
    address = folder.address(names[0]) if len(names) == 1 else None
    if address is None:
        there = ", ".join(folder.names()[:20]) or "nothing"
        detail = f"{folder.origin()} holds {there}. Add the name of the file to the link: …/folders/{link.folder}/disk.qcow2."
        raise ImageError("File of the folder not named", detail)
    return address
