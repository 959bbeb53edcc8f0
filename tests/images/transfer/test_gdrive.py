import sys
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.settings import GoogleDriveSettings, Settings
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.gdrive import DriveLink, parse_drive_link
from pragmaspec.images.transfer.locations import open_folder
from pragmaspec.images.transfer.policy import TransferPolicy
from tests.images import protocols
from tests.images.file_server import Asked, FileServer, Reply
from tests.images.protocols import FILE_ID, FOLDER_ID

FOLDER = f"https://drive.google.com/drive/folders/{FOLDER_ID}"
FILES = {"disk.qcow2": FILE_ID, "vcdb.txt": "1VcDbVcDbVcDbVcDbVcDb", "notes & more": "1NoTeSnOtEsNoTeSnOtEs"}


def context(tmp_path: Path, tries: int = 2, **drive: str) -> ImageContext:
    settings = Settings(drive=GoogleDriveSettings(**drive))
    store = BlobStore(tmp_path / "store")
    return ImageContext(
        store, "debian", ImageReporter(), policy=TransferPolicy(first_pause_s=0.001, tries=tries), settings=settings
    )


def site(server: FileServer) -> str:
    return server.url("").rstrip("/")


@pytest.mark.parametrize(
    ("url", "link"),
    [
        (f"https://drive.google.com/file/d/{FILE_ID}/view?usp=sharing", DriveLink(file=FILE_ID)),
        (f"https://drive.google.com/file/u/1/d/{FILE_ID}/edit", DriveLink(file=FILE_ID)),
        (f"https://drive.google.com/open?id={FILE_ID}", DriveLink(file=FILE_ID)),
        (f"https://drive.google.com/uc?export=download&id={FILE_ID}", DriveLink(file=FILE_ID)),
        (f"https://drive.usercontent.google.com/download?id={FILE_ID}&confirm=t", DriveLink(file=FILE_ID)),
        (f"https://drive.google.com/file/d/{FILE_ID}/view?resourcekey=0-abc", DriveLink(file=FILE_ID, resource_key="0-abc")),
        (f"{FOLDER}?usp=drive_link", DriveLink(folder=FOLDER_ID)),
        (f"https://drive.google.com/drive/u/0/folders/{FOLDER_ID}/disk.qcow2", DriveLink(folder=FOLDER_ID, name="disk.qcow2")),
        ("https://drive.google.com/drive/my-drive", None),
        (f"https://drive.example.org/file/d/{FILE_ID}/view", None),
    ],
)
def test_links_are_parsed(url: str, link: DriveLink | None) -> None:
    assert parse_drive_link(url) == link


def test_a_small_file_needs_no_confirmation(server: FileServer, tmp_path: Path, qcow2: bytes) -> None:
    server.content, server.gate = qcow2, protocols.DriveSite(warns=False)
    source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256=sha256(qcow2).hexdigest())
    assert source.find(context(tmp_path, site=site(server))).disk.size_bytes == len(qcow2)


def test_a_file_that_is_not_shared_is_reported(server: FileServer, tmp_path: Path) -> None:
    source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256="0" * 64)
    server.gate = protocols.DriveSite(quota=True)
    with pytest.raises(ImageError, match="not shared with everyone"):
        source.find(context(tmp_path, site=site(server)))
    server.gate = protocols.DriveSite(files={})
    with pytest.raises(ImageError, match="404"):
        source.find(context(tmp_path, site=site(server)))


@pytest.mark.parametrize("action", ["https://evil.example.org/download", "file:///etc/passwd", "ftp://drive.google.com/x"])
def test_a_form_for_another_server_is_not_submitted(server: FileServer, tmp_path: Path, action: str) -> None:
    page = protocols.WARNING.format(action=action, id=FILE_ID).encode()
    server.gate = lambda _: Reply(200, page, {"Content-Type": "text/html"})
    source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256="0" * 64)
    with pytest.raises(ImageError, match="page instead of the file"):
        source.find(context(tmp_path, site=site(server)))


@pytest.mark.parametrize("how", ["link", "api key", "account"])
def test_a_folder_is_listed_and_read(server: FileServer, tmp_path: Path, how: str) -> None:
    api = protocols.DriveApi(protocols.private_key(), lambda: site(server), files=FILES)
    server.gate = protocols.DriveSite(files=FILES, warns=False) if how == "link" else api
    server.content = b"one,two\n"
    given = {"link": {}, "api key": {"api_key": api.api_key}, "account": {"service_account": str(api.key_file(tmp_path))}}[how]
    folder = open_folder(FOLDER, context(tmp_path, site=site(server), api=site(server), **given))
    assert folder.names() == ("disk.qcow2", "notes & more", "vcdb.txt")
    assert folder.read_small("vcdb.txt") == b"one,two\n"
    assert folder.read_small("absent") is None
    assert folder.fetch("notes & more", tmp_path / "part").sha256 == sha256(b"one,two\n").hexdigest()
    assert folder.origin() == FOLDER
    if how == "account":
        assert api.tokens == 1, "a token is used as long as it is good"


def test_a_folder_with_duplicate_names_is_rejected(server: FileServer, tmp_path: Path) -> None:
    twice = "".join(protocols.ENTRY.format(id=each, name="disk.qcow2") for each in FILES.values())
    server.gate = lambda _: Reply(200, twice.encode(), {"Content-Type": "text/html"})
    with pytest.raises(ImageError, match=r"several files named disk\.qcow2"):
        open_folder(FOLDER, context(tmp_path, site=site(server))).names()


def test_a_link_to_a_folder_must_name_one_of_several_files(server: FileServer, tmp_path: Path, qcow2: bytes) -> None:
    server.content, server.gate = qcow2, protocols.DriveSite(files=FILES)
    with pytest.raises(ImageError, match=r"contains disk\.qcow2, notes & more, vcdb\.txt\. Add the name"):
        UrlSource(url=FOLDER, sha256="0" * 64).find(context(tmp_path, site=site(server)))
    server.gate = protocols.DriveSite()
    found = UrlSource(url=FOLDER, sha256=sha256(qcow2).hexdigest()).find(context(tmp_path, site=site(server)))
    assert found.disk.size_bytes == len(qcow2)


def test_credentials_are_not_sent_to_redirect_targets(server: FileServer, tmp_path: Path, qcow2: bytes) -> None:
    """Google redirects downloads to other servers; what shows who asks is for the first one only."""
    seen: list[Asked] = []

    def look(asked: Asked) -> None:
        seen.append(asked)

    with FileServer(content=qcow2, gate=look) as other:
        server.gate = lambda _: Reply(302, b"", {"Location": other.url()})
        source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256=sha256(qcow2).hexdigest())
        assert source.find(context(tmp_path, api=site(server), api_key="canary"))
    assert "canary" in str(server.asked[0].headers)
    assert "canary" not in str(seen)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not JSON", "not the JSON key"),
        ('{"client_email": "a", "private_key": "b", "token_uri": "http://example.org/token"}', "not an https URL"),
        ('{"client_email": "a", "private_key": "b", "token_uri": "https://example.org/token"}', "not a PEM RSA key"),
    ],
)
def test_unusable_service_account_keys_are_rejected(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "key.json").write_text(content)
    source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256="0" * 64)
    with pytest.raises(ImageError, match=words) as refused:
        source.find(context(tmp_path, service_account=str(tmp_path / "key.json")))
    assert str(tmp_path / "key.json") in str(refused.value)
    with pytest.raises(ImageError, match="No such file"):
        source.find(context(tmp_path, service_account=str(tmp_path / "absent")))


def test_without_google_auth_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.oauth2.service_account", None)
    source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256="0" * 64)
    with pytest.raises(ImageError, match=r"need google-auth \(the extra `gdrive`\): pip install 'google-auth"):
        source.find(context(tmp_path, service_account=str(tmp_path / "key.json")))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(400, b'{"error": "invalid_grant", "error_description": "Account not found"}'), "invalid_grant: Account not found"),
        (Reply(302, b"", {"Location": "https://elsewhere.example.org/"}), "refused a token: no reason given"),
        (Reply(200, b"<html>\x1b[31m</html>"), "does not answer with a token"),
        (Reply(200, b'{"access_token": "t", "expires_in": []}'), "does not answer with a token"),
        (Reply(200, bytes(9 * 2**20)), "more than 8 MiB"),
    ],
)
def test_a_refused_token_is_reported_with_googles_reason(server: FileServer, tmp_path: Path, reply: Reply, reason: str) -> None:
    api = protocols.DriveApi(protocols.private_key(), lambda: site(server))
    server.gate = lambda _: reply
    source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256="0" * 64)
    with pytest.raises(ImageError, match=reason):
        source.find(context(tmp_path, api=site(server), service_account=str(api.key_file(tmp_path))))
    assert len(server.asked) == 1


def test_a_token_server_in_trouble_is_asked_again(server: FileServer, tmp_path: Path, qcow2: bytes) -> None:
    api = protocols.DriveApi(protocols.private_key(), lambda: site(server))
    replies = [Reply(503), Reply(429)]
    server.content, server.gate = qcow2, lambda asked: replies.pop() if replies else api(asked)
    source = UrlSource(url=f"https://drive.google.com/open?id={FILE_ID}", sha256=sha256(qcow2).hexdigest())
    found = source.find(context(tmp_path, 3, api=site(server), service_account=str(api.key_file(tmp_path))))
    assert found.disk.size_bytes == len(qcow2)
