import pytest

from pragmaspec.net.s3_urls import S3Url, check_endpoint, is_region, parse_s3_url
from pragmaspec.net.state_urls import check_state_url
from pragmaspec.net.urls import UrlError


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/api/v4/projects/7/terraform/state/hello",
        "http://localhost:8080/state?keep=10",
        "s3://our-clusters/hello.json?region=eu-central-1&endpoint=https://minio.example.org:9000&profile=team",
        "postgresql://ada@db.example.org:5432/clusters/hello?sslmode=verify-full",
        "postgres:///clusters/hello?host=/run/postgresql",
    ],
)
def test_valid_state_urls(url: str) -> None:
    check_state_url(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://h:99999/x", "port"),
        ("https://h/x#y", "contains a #"),
        ("https://h/api/v4/projects/7/terraform/state/hello/more", "cannot contain /"),
        ("s3://our-clusters", "must be s3://BUCKET/KEY"),
        ("s3://our-clusters/x/", "must be s3://BUCKET/KEY"),
        ("s3://b/x", "no valid bucket name"),
        ("s3://bucket:80/x", "no valid bucket name"),
        ("s3://me@bucket/x", "no valid bucket name"),
        ("s3://Bucket/x", "lower-case"),
        ("s3://bucket/x#y", "%23"),
        ("s3://bucket/x%1b", "invisible character"),
        ("s3://bucket/x?regio=y", "unknown option `regio`; the options are endpoint, profile, region"),
        ("s3://bucket/x?region=a&region=b", "twice"),
        ("s3://bucket/x?region=EU/../x", "`region` is not a region name"),
        ("s3://bucket/x?endpoint=http://h:99999", "`endpoint` is invalid: its port"),
        ("s3://bucket/x?endpoint=minio", "`endpoint` is invalid"),
        ("s3://bucket/x?endpoint=http://a:b@h", "`endpoint` is invalid: an endpoint is"),
        ("postgresql://db:99999/clusters/x", "port"),
        ("postgresql://db/clusters", "postgresql://HOST/DATABASE/NAME"),
        ("postgresql://db/clusters/x#y", "postgresql://HOST/DATABASE/NAME"),
        ("postgresql://db/clusters/%00", "must be printable"),
        ("postgresql://db/clusters/x?options=y", "unknown option `options`"),
        ("postgresql://db/clusters/x?schema=1", "schema must start"),
        ("postgresql://db/clusters/x?sslmode=verify", "`sslmode` must be one of"),
    ],
)
def test_invalid_state_urls_are_rejected(url: str, why: str) -> None:
    with pytest.raises(UrlError, match=why):
        check_state_url(url)


def test_image_urls_in_s3() -> None:
    options = ("anonymous", "region")
    found = parse_s3_url("s3://images/debian/disk%20one.qcow2?anonymous=true", options)
    assert found == S3Url("images", "debian/disk one.qcow2", {"anonymous": "true"})
    assert found.shown == "s3://images/debian/disk one.qcow2"
    with pytest.raises(UrlError, match="`anonymous` must be true or false"):
        parse_s3_url("s3://images/x?anonymous=yes", options)
    check_endpoint("http://127.0.0.1:9000")
    assert is_region("eu-central-1")
    assert not is_region("evil.example/")
