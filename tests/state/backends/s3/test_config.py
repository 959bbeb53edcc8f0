import pytest

from pragmaspec.errors import UsageError
from pragmaspec.state.backends.s3.config import S3Config, s3_config


def test_s3_urls():
    assert s3_config("s3://our-clusters/a/b%20c.json") == S3Config("our-clusters", "a/b c.json")
    config = s3_config("s3://our.clusters/x?region=eu-central-1&endpoint=https://minio.example.org:9000&profile=team")
    assert config == S3Config("our.clusters", "x", "eu-central-1", "https://minio.example.org:9000", "team")
    assert config.title == "s3://our.clusters/x"


@pytest.mark.parametrize(
    "url",
    [
        "s3://b",
        "s3://bucket/",
        "s3://bucket/x/",
        "s3://Bucket/x",
        "s3:///x",
        "s3://bucket/x?regio=y",
        "s3://bucket/x%1b",
        "s3://k:s@bucket/x",
    ],
)
def test_invalid_s3_urls_are_refused(url):
    with pytest.raises(UsageError):
        s3_config(url)


@pytest.mark.parametrize("endpoint", ["minio", "ftp://h", "https://u:p@h", "https://h/?token=x"])
def test_invalid_s3_endpoints_are_refused(endpoint):
    with pytest.raises(UsageError):
        s3_config(f"s3://bucket/x?endpoint={endpoint}")
