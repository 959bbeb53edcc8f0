"""Against moto's S3 server, filled with AWS's own client; sources/test_contract.py verifies signatures."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.http import DownloadClient
from pragmaspec.images.transfer.locations import open_folder
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.images.transfer.s3 import s3_file
from tests.images.file_server import Asked, FileServer, Reply
from tests.state.backends.s3_server import BUCKET, ENVIRONMENT, raw_client, s3_server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture
def bucket(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    client = raw_client(port)
    yield client
    client.close()


@pytest.fixture
def context(tmp_path: Path) -> ImageContext:
    policy = TransferPolicy(first_pause_s=0.001, tries=2)
    return ImageContext(BlobStore(tmp_path / "store"), "debian", ImageReporter(), policy=policy)


def source(port: int, content: bytes, key: str = "disk.qcow2", options: str = "") -> UrlSource:
    url = f"s3://{BUCKET}/{key}?endpoint=http://127.0.0.1:{port}{options}"
    return UrlSource(url=url, sha256=sha256(content).hexdigest())


@pytest.mark.parametrize("key", ["disk.qcow2", "deep/er/disk.qcow2", "with blank+plus&and=ü.qcow2"])
def test_an_object_is_downloaded(bucket: Any, port: int, context: ImageContext, qcow2: bytes, key: str) -> None:
    bucket.put_object(Bucket=BUCKET, Key=key, Body=qcow2)
    written = key.replace("&", "%26").replace("+", "%2B")
    found = source(port, qcow2, written).find(context)
    assert context.store.path(found.disk.sha256).read_bytes() == qcow2
    assert found.fetched is not None
    assert (found.fetched.url, bool(found.fetched.published)) == ("", True)


def test_a_part_is_resumed_only_if_the_object_is_unchanged(bucket: Any, port: int, context: ImageContext, qcow2: bytes) -> None:
    """The real server's own ranges and conditions."""
    bucket.put_object(Bucket=BUCKET, Key="disk.qcow2", Body=qcow2)
    etag = bucket.head_object(Bucket=BUCKET, Key="disk.qcow2")["ETag"]
    wanted = source(port, qcow2)
    part = context.store.part(wanted.sha256)
    for tag, begun in ((etag, qcow2[:100_000]), ('"0123"', b"something else")):
        part.write_bytes(begun)
        part.with_suffix(".etag").write_text(json.dumps({"etag": tag, "from": f"s3://{BUCKET}/disk.qcow2"}))
        other = ImageContext(BlobStore(context.store.directory), "debian", ImageReporter(), policy=context.policy)
        found = wanted.find(other)
        assert other.store.path(found.disk.sha256).read_bytes() == qcow2
        other.store.path(found.disk.sha256).unlink()


def test_a_prefix_is_listed_and_read(bucket: Any, port: int, context: ImageContext, tmp_path: Path) -> None:
    for name in ("", "two.xml", "one & all", "below/vcdb.txt"):
        bucket.put_object(Bucket=BUCKET, Key=f"repository/{name}", Body=b"one,two\n")
    folder = open_folder(f"s3://{BUCKET}/repository?endpoint=http://127.0.0.1:{port}", context)
    assert folder.names() == ("below/", "one & all", "two.xml")
    assert folder.read_small("one & all") == b"one,two\n"
    assert folder.read_small("absent") is None
    assert folder.fetch("two.xml", tmp_path / "part").size_bytes == 8
    assert folder.origin() == f"s3://{BUCKET}/repository/"


def test_listings_are_read_page_by_page(context: ImageContext) -> None:
    page = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}</ListBucketResult>'
    first = page.format("<Contents><Key>a</Key></Contents><NextContinuationToken>2/=</NextContinuationToken>")

    def bucket_of_two(asked: Asked) -> Reply:
        more = "continuation-token=2%2F%3D" in asked.path
        return Reply(200, (page.format("<Contents><Key>b</Key></Contents>") if more else first).encode())

    with FileServer(gate=bucket_of_two) as server:
        folder = open_folder(f"s3://images?anonymous=true&endpoint=http://127.0.0.1:{server.port}", context)
        assert folder.names() == ("a", "b")
        server.gate = lambda _: Reply(200, b"<html>")
        with pytest.raises(ImageError, match="does not answer like S3"):
            folder.names()


def test_missing_objects_and_profiles_are_reported(bucket: Any, port: int, context: ImageContext, qcow2: bytes) -> None:
    with pytest.raises(ImageError, match=f"s3://{BUCKET}/absent: the server answered 404"):
        source(port, qcow2, "absent").find(context)
    with pytest.raises(ImageError, match="profile"):
        source(port, qcow2, options="&profile=absent").find(context)


def test_missing_credentials_are_reported(
    context: ImageContext, qcow2: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "absent"))
    with pytest.raises(ImageError, match="anonymous=true"):
        source(1, qcow2).find(context)


def test_the_region_of_the_bucket_is_reported(context: ImageContext, qcow2: bytes) -> None:
    elsewhere = Reply(301, b"", {"x-amz-bucket-region": "ap-northeast-1"})
    with FileServer(gate=lambda _: elsewhere) as server, pytest.raises(ImageError, match="in the region ap-northeast-1"):
        source(server.port, qcow2, options="&anonymous=true&region=us-east-1").find(context)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://bucket/key?endpoint=http://minio.example.org", "unencrypted"),
        ("s3://bucket/key?colour=blue", "unknown option `colour`"),
        ("s3://bucket/key?anonymous=perhaps", "true or false"),
    ],
)
def test_invalid_s3_urls_are_rejected(bucket: Any, context: ImageContext, url: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        UrlSource(url=url, sha256="0" * 64).find(context)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("s3://images/a b", "https://images.s3.eu-west-1.amazonaws.com/a%20b"),
        ("s3://images.example.org/a~b/c", "https://s3.eu-west-1.amazonaws.com/images.example.org/a~b/c"),
        ("s3://images/a?endpoint=https://minio.example.org/", "https://minio.example.org/images/a"),
    ],
)
def test_urls_use_host_or_path_style(url: str, asked: str) -> None:
    found = s3_file(f"{url}{'&' if '?' in url else '?'}anonymous=true&region=eu-west-1")
    with DownloadClient(TransferPolicy()) as web:
        assert found.request(web).url == asked
