import pytest

from pragmaspec.images.sources.publication import PublishedChecksums
from pragmaspec.images.sources.url import UrlSource

CHECKSUMS = PublishedChecksums(url="https://images.example.org/SHA256SUMS", signature="inline", key="AB")


@pytest.mark.parametrize(
    ("source", "described"),
    [
        (UrlSource(url="https://images.example.org/disk"), "c0997699edbde3a0"),
        (UrlSource(url="https://images.example.org/disk", sums=CHECKSUMS), "9e8e3756fe776a5d"),
        (UrlSource(url="https://images.example.org/disk.zip", format="raw", member="a/disk.img"), "cfec4b9f1c320c28"),
    ],
)
def test_descriptions_in_lock_files_keep_their_digest(source: UrlSource, described: str) -> None:
    assert source.described() == described
