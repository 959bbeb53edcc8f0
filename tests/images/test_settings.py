from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.settings import CloudFrontKey, GoogleDriveSettings, Settings, read_settings
from pragmaspec.images.sources.publication import Publication

FILE = """\
[[cloudfront]]
key_pair_id = "K1"
private_key = "~/one.pem"

[[cloudfront]]
key_pair_id = "K2"
private_key = "/two.pem"
hosts = ["images.example.org"]

[google-drive]
service_account = "~/account.json"

[catalogue.ours]
folder = "https://images.example.org/ours/"
file = 'ours-\\d+\\.qcow2'
sums = "SHA256SUMS"
"""


def environment(tmp_path: Path, text: str | None = None, **more: str) -> dict[str, str]:
    folder = tmp_path / "pragmaspec"
    folder.mkdir(exist_ok=True)
    if text is not None:
        (folder / "sources.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(tmp_path), **more}


def test_defaults_without_settings(tmp_path: Path) -> None:
    assert read_settings(environment(tmp_path)) == Settings()


def test_the_file_is_read(tmp_path: Path) -> None:
    found = read_settings(environment(tmp_path, FILE))
    assert found == Settings(
        cloudfront=(
            CloudFrontKey(key_pair_id="K1", private_key="~/one.pem", hosts=("*.cloudfront.net",)),
            CloudFrontKey(key_pair_id="K2", private_key="/two.pem", hosts=("images.example.org",)),
        ),
        drive=GoogleDriveSettings(service_account="~/account.json"),
        catalogue=(("ours", Publication(folder="https://images.example.org/ours/", file=r"ours-\d+\.qcow2", sums="SHA256SUMS")),),
    )


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    found = read_settings(
        environment(
            tmp_path,
            FILE,
            PRAGMASPEC_CLOUDFRONT_KEY_PAIR_ID="K3",
            PRAGMASPEC_CLOUDFRONT_PRIVATE_KEY="/three.pem",
            PRAGMASPEC_CLOUDFRONT_HOSTS="a.example.org, b.example.org",
            PRAGMASPEC_GOOGLE_API_KEY="canary",
        )
    )
    assert found.cloudfront[0] == CloudFrontKey(
        key_pair_id="K3", private_key="/three.pem", hosts=("a.example.org", "b.example.org")
    )
    assert len(found.cloudfront) == 3
    assert (found.drive.api_key, found.drive.service_account) == ("canary", "~/account.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [("[[cloudfront]]\nkey_pair_id = 'K'\n", "private_key"), ("[s3]\nsecret = 'x'\n", "s3"), ("= 3", "Invalid")],
)
def test_an_invalid_file_is_reported(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ImageError, match=words) as refused:
        read_settings(environment(tmp_path, text))
    assert str(tmp_path / "pragmaspec" / "sources.toml") in str(refused.value)


def test_an_incomplete_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="set both"):
        read_settings(environment(tmp_path, PRAGMASPEC_CLOUDFRONT_KEY_PAIR_ID="K"))
