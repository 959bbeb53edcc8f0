"""Every kind of remote source, each with a server for its protocol: for the tests that all of them must pass."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from subprocess import PIPE, Popen

import msgspec
import pytest

from pragmaspec.images.sources.catalogue import CatalogueSource
from pragmaspec.images.sources.publication import PublishedChecksums
from pragmaspec.images.sources.registry import AnySource
from pragmaspec.images.sources.url import UrlSource
from tests.images import protocols
from tests.images.file_server import FileServer
from tests.images.openpgp import Key

KEY_PAIR_ID = "K2JCJMDEHXQW5F"
ROOT = Path(__file__).parents[3]


@dataclass
class Tools:
    """Resources for setting up a kind."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack
    publisher: Key


@dataclass
class Kind:
    """A server, and a function that returns the source of its file with the given content."""

    server: FileServer
    source: Callable[[bytes], AnySource]


def http(tools: Tools) -> Kind:
    server = tools.stack.enter_context(FileServer())
    return Kind(server, lambda content: UrlSource(url=server.url(), sha256=_digest(content)))


def mirrored(tools: Tools) -> Kind:
    """The source itself is gone; the mirror has the file."""
    gone = tools.stack.enter_context(FileServer(gate=lambda _: protocols.Reply(404)))
    server = tools.stack.enter_context(FileServer())
    return Kind(server, lambda content: UrlSource(url=gone.url(), mirrors=(server.url(),), sha256=_digest(content)))


def cloudfront(tools: Tools) -> Kind:
    key = protocols.private_key()
    (tools.folder / "cloudfront.pem").write_bytes(protocols.pem(key))
    server = tools.stack.enter_context(FileServer())
    server.gate = protocols.CloudFront(key, lambda: server.url("").rstrip("/"))
    tools.monkeypatch.setenv("PRAGMASPEC_CLOUDFRONT_KEY_PAIR_ID", KEY_PAIR_ID)
    tools.monkeypatch.setenv("PRAGMASPEC_CLOUDFRONT_PRIVATE_KEY", str(tools.folder / "cloudfront.pem"))
    tools.monkeypatch.setenv("PRAGMASPEC_CLOUDFRONT_HOSTS", f"*.cloudfront.net, 127.0.0.1:{server.port}")
    return Kind(server, lambda content: UrlSource(url=server.url(), sha256=_digest(content)))


def s3(tools: Tools) -> Kind:
    """Knows If-Match, and not If-Range."""
    server = tools.stack.enter_context(FileServer(gate=protocols.S3(), condition=""))
    tools.monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    tools.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-bucket")
    tools.monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    place = f"s3://images/debian/disk one.qcow2?region=eu-central-1&endpoint=http://127.0.0.1:{server.port}"
    return Kind(server, lambda content: UrlSource(url=place, sha256=_digest(content)))


def s3_anonymous(tools: Tools) -> Kind:
    server = tools.stack.enter_context(FileServer(gate=protocols.S3(anonymous=True), condition=""))
    place = f"s3://images/disk.qcow2?anonymous=true&endpoint=http://127.0.0.1:{server.port}"
    return Kind(server, lambda content: UrlSource(url=place, sha256=_digest(content)))


def drive_link(tools: Tools) -> Kind:
    server = tools.stack.enter_context(FileServer(gate=protocols.DriveSite()))
    tools.monkeypatch.setenv("PRAGMASPEC_GOOGLE_DRIVE_URL", server.url("").rstrip("/"))
    link = f"https://drive.google.com/file/d/{protocols.FILE_ID}/view?usp=sharing"
    return Kind(server, lambda content: UrlSource(url=link, sha256=_digest(content)))


def drive_account(tools: Tools) -> Kind:
    server = tools.stack.enter_context(FileServer())
    api = protocols.DriveApi(protocols.private_key(), lambda: server.url("").rstrip("/"))
    server.gate = api
    tools.monkeypatch.setenv("PRAGMASPEC_GOOGLE_API_URL", server.url("").rstrip("/"))
    tools.monkeypatch.setenv("PRAGMASPEC_GOOGLE_SERVICE_ACCOUNT", str(api.key_file(tools.folder)))
    link = f"https://drive.google.com/drive/folders/{protocols.FOLDER_ID}/disk.qcow2"
    return Kind(server, lambda content: UrlSource(url=link, sha256=_digest(content)))


def sums(tools: Tools) -> Kind:
    """No digest in the spec, but signed checksums of the publisher."""
    server = tools.stack.enter_context(FileServer())

    def source(content: bytes) -> UrlSource:
        text = f"{_digest(content)} *disk.qcow2\n".encode()
        small = {"/SHA256SUMS": text, "/SHA256SUMS.gpg": tools.publisher.detached(text), "/key.asc": tools.publisher.public()}
        server.gate = protocols.Publisher({}, small, {"/disk.qcow2"})
        vouching = PublishedChecksums(
            url=server.url("SHA256SUMS"),
            signature=server.url("SHA256SUMS.gpg"),
            key=tools.publisher.fingerprint,
            key_url=server.url("key.asc"),
        )
        return UrlSource(url=server.url(), sums=vouching)

    return Kind(server, source)


def catalogue(tools: Tools) -> Kind:
    server = tools.stack.enter_context(FileServer())

    def source(content: bytes) -> CatalogueSource:
        publish(tools, server, content)
        return CatalogueSource(name="our-debian")

    return Kind(server, source)


def publish(tools: Tools, server: FileServer, content: bytes, version: str = "20261101-1") -> None:
    """Make ``server`` a publisher with one release of ``content``, listed in the user's catalogue."""
    name = f"debian-{version}.qcow2"
    text = f"SHA256 ({name}) = {_digest(content)}\n".encode()
    server.gate = protocols.Publisher(
        {
            "/cloud/": [f"{version}/", "latest/", "20200101-9/"],
            f"/cloud/{version}/": [name, "CHECKSUM", "CHECKSUM.asc", "other.iso"],
        },
        {
            f"/cloud/{version}/CHECKSUM": text,
            f"/cloud/{version}/CHECKSUM.asc": tools.publisher.detached(text),
            "/key.asc": tools.publisher.public(),
        },
        {f"/cloud/{version}/{name}"},
    )
    config = tools.folder / "config"
    (config / "pragmaspec").mkdir(parents=True, exist_ok=True)
    (config / "pragmaspec" / "sources.toml").write_text(
        f"""[catalogue.our-debian]
folder = "{server.url("cloud/")}"
dated = '\\d{{8}}-\\d+'
file = 'debian-\\d{{8}}-\\d+\\.qcow2'
sums = "CHECKSUM"
signature = ".asc"
key = "{tools.publisher.fingerprint}"
key_url = "{server.url("key.asc")}"
"""
    )
    tools.monkeypatch.setenv("XDG_CONFIG_HOME", str(config))


KINDS = (http, mirrored, cloudfront, s3, s3_anonymous, drive_link, drive_account, sums, catalogue)


def fetch_elsewhere(source: AnySource, store: Path) -> "Popen[str]":
    """Fetch the image in another process, which prints the digest of the disk."""
    return Popen(
        [sys.executable, "-m", "tests.images.sources.kinds", str(store), msgspec.json.encode(source).decode()],
        cwd=ROOT,
        stdout=PIPE,
        text=True,
    )


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


if __name__ == "__main__":
    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.images.store.blobs import BlobStore

    asked: AnySource = msgspec.json.decode(sys.argv[2], type=AnySource)
    found = asked.find(ImageContext(BlobStore(Path(sys.argv[1])), "debian", ImageReporter()))
    print(found.disk.sha256)  # noqa: T201 - the result
