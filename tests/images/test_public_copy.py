"""Which URL may be given to a host: one that everybody can use, that gives the disk itself, and holds nothing of the user's."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.images.catalogue import CatalogueEntry
from pragmaspec.images.public_copy import public_url
from pragmaspec.images.settings import CloudFrontKey, Settings
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.images.store.fetched import Fetched
from pragmaspec.resources import Blob

DISK = Blob(sha256="a" * 64, size_bytes=10)
URL = "https://images.example.org/disk.qcow2"


def entry(url: str = URL, *, recorded: str | None = None, came: Blob = DISK) -> CatalogueEntry:
    return CatalogueEntry(
        name="debian",
        digest=DISK.sha256,
        origin=url,
        source=UrlSource(url=url, sha256=DISK.sha256),
        format="qcow2",
        virtual_size_bytes=10,
        disk=DISK,
        fetched=Fetched(blob=came, url=url if recorded is None else recorded),
    )


def asked(found: CatalogueEntry, home: Path, settings: Settings | None = None, netrc: str = "") -> str:
    (home / "netrc").write_text(netrc)
    return public_url(found, settings or Settings(), {"NETRC": str(home / "netrc")})


def test_the_url_is_that_of_the_download_else_that_of_the_spec(tmp_path: Path) -> None:
    assert asked(entry(recorded="https://mirror.example.org/1/disk.qcow2"), tmp_path) == "https://mirror.example.org/1/disk.qcow2"
    assert asked(entry(recorded=""), tmp_path) == URL, "it led to a URL that is signed for each download"
    assert asked(entry("http://images.example.org/disk.qcow2"), tmp_path).startswith("http:")


def test_unpacked_and_converted_disks_have_no_public_url(tmp_path: Path) -> None:
    assert asked(entry(came=Blob(sha256="b" * 64, size_bytes=5)), tmp_path) == ""
    assert asked(replace(entry(), fetched=None), tmp_path) == ""


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:secret@images.example.org/disk.qcow2",
        "https://images.example.org/disk.qcow2?X-Amz-Signature=secret",
        "https://images.example.org/disk.qcow2#part",
        "s3://bucket/disk.qcow2",
        "https://drive.google.com/file/d/0123456789abcdef/view",
        "http://localhost:8000/disk.qcow2",
        "http://127.0.0.1/disk.qcow2",
        "https://images.example.org/disk\n.qcow2",
        "https:///disk.qcow2",
    ],
)
def test_secret_and_local_urls_are_not_public(url: str, tmp_path: Path) -> None:
    assert asked(entry(url), tmp_path) == ""


def test_urls_of_servers_with_credentials_are_not_public(tmp_path: Path) -> None:
    assert asked(entry(), tmp_path, netrc="machine images.example.org login ada password secret\n") == ""
    assert asked(entry(), tmp_path, netrc="default login ada password secret\n") == ""
    assert asked(entry(), tmp_path, netrc="machine other.example.org login ada password secret\n") == URL
    assert asked(entry(), tmp_path, netrc="what is this\n") == "", "one that cannot be read may have one"
    signing = Settings(cloudfront=(CloudFrontKey(key_pair_id="K", private_key="k.pem", hosts=("*.example.org",)),))
    assert asked(entry(), tmp_path, signing) == ""
