import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pragmaspec.errors import ImageError
from pragmaspec.images.settings import CloudFrontKey
from pragmaspec.images.transfer.cloudfront import WebFile, sign_url
from pragmaspec.images.transfer.http import DownloadClient
from pragmaspec.images.transfer.policy import TransferPolicy
from tests.images import protocols

EXPIRES = 1_800_000_000


@pytest.fixture
def key(tmp_path: Path) -> CloudFrontKey:
    file = tmp_path / "key.pem"
    file.write_bytes(protocols.pem(protocols.private_key()))
    return CloudFrontKey(key_pair_id="K2JCJMDEHXQW5F", private_key=str(file), hosts=("*.cloudfront.net", "images.example.org"))


@pytest.mark.parametrize("url", ["https://d1.cloudfront.net/a/disk.qcow2", "https://d1.cloudfront.net/disk?size=large&b=c"])
def test_signed_urls_are_those_of_botocore(key: CloudFrontKey, url: str) -> None:
    from datetime import UTC, datetime

    from botocore.signers import CloudFrontSigner
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    signer = CloudFrontSigner(
        key.key_pair_id,
        lambda text: protocols.private_key().sign(text, padding.PKCS1v15(), hashes.SHA1()),  # noqa: S303 - the protocol
    )
    theirs = signer.generate_presigned_url(url, date_less_than=datetime.fromtimestamp(EXPIRES, UTC))
    assert sign_url(url, key, EXPIRES) == theirs


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://d1.cloudfront.net/disk", True),
        ("https://D1.CloudFront.net/disk", True),
        ("https://images.example.org/disk", True),
        ("https://cloudfront.net.example.org/disk", False),
        ("https://images.example.org.evil.example/disk", False),
        ("https://example.org/disk?x=d1.cloudfront.net", False),
    ],
)
def test_only_urls_of_the_servers_of_a_key_are_signed(key: CloudFrontKey, url: str, signed: bool) -> None:
    with DownloadClient(TransferPolicy()) as web:
        asked = WebFile(url=url, signing=(key,)).request(web).url
    assert (asked != url) == signed
    if signed:
        expires = int(asked.partition("Expires=")[2].partition("&")[0])
        assert 3000 < expires - time.time() <= 3600


def test_the_display_name_has_no_signature(key: CloudFrontKey) -> None:
    assert WebFile(url="https://d1.cloudfront.net/disk?a=b", signing=(key,)).display_name() == "https://d1.cloudfront.net/disk"


def test_unusable_keys_are_rejected(key: CloudFrontKey, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    for content, words in (
        (b"not a key", "not a PEM private key"),
        (
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "not an RSA key",
        ),
    ):
        other.write_bytes(content)
        with pytest.raises(ImageError, match=words):
            sign_url("https://d1.cloudfront.net/disk", CloudFrontKey(key_pair_id="K", private_key=str(other)), EXPIRES)
    with pytest.raises(ImageError, match="cannot be read"):
        sign_url("https://d1.cloudfront.net/d", CloudFrontKey(key_pair_id="K", private_key=str(tmp_path / "none")), EXPIRES)
    with pytest.raises(ImageError, match="must not be sent unencrypted"):
        sign_url("http://d1.cloudfront.net/disk", key, EXPIRES)
