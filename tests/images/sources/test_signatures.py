from collections.abc import Iterator

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.sources.signatures import verify_signature
from tests.images.openpgp import Key, gpg, keys, make_key

TEXT = b"0123  disk.qcow2\n"


@pytest.fixture(scope="module")
def publisher() -> Iterator[Key]:
    with keys() as home:
        yield make_key(home, "publisher")


@pytest.fixture(scope="module")
def other(publisher: Key) -> Key:
    return make_key(publisher.home, "other")


def check(signed: bytes, signature: bytes | None, key: bytes, publisher: Key) -> bytes:
    return verify_signature(signed, signature, key, publisher.fingerprint.lower(), "SHA256SUMS")


@pytest.mark.parametrize("armor", [True, False])
def test_a_valid_signature_is_accepted(publisher: Key, other: Key, armor: bool) -> None:
    key = publisher.public(armor=armor)
    assert check(TEXT, publisher.detached(TEXT), key, publisher) == TEXT
    assert check(publisher.around(TEXT), None, key, publisher).rstrip() == TEXT.rstrip()
    several = other.public(armor=armor) + key
    assert check(TEXT, publisher.detached(TEXT), several, publisher) == TEXT


def test_only_the_signed_text_is_returned(publisher: Key) -> None:
    """Text before and after an inline signature is nobody's."""
    around = b"ffff  disk.qcow2\n\n" + publisher.around(TEXT) + b"\neeee  disk.qcow2\n"
    try:
        told = check(around, None, publisher.public(), publisher)
    except ImageError:
        return
    assert b"ffff" not in told
    assert b"eeee" not in told


def test_a_signature_of_another_text_is_rejected(publisher: Key) -> None:
    with pytest.raises(ImageError, match="does not match the signed text"):
        check(TEXT + b"!", publisher.detached(TEXT), publisher.public(), publisher)
    around = publisher.around(TEXT).replace(b"0123", b"0124")
    with pytest.raises(ImageError, match="does not match the signed text"):
        check(around, None, publisher.public(), publisher)


def test_a_signature_by_another_key_is_rejected(publisher: Key, other: Key) -> None:
    for key in (publisher.public(), other.public(), publisher.public() + other.public()):
        with pytest.raises(ImageError, match=r"not signed by the pinned key|but the pinned key is"):
            check(TEXT, other.detached(TEXT), key, publisher)


def test_an_additional_signature_by_another_key_is_rejected(publisher: Key, other: Key) -> None:
    both = publisher.detached(TEXT, "--local-user", other.fingerprint)
    with pytest.raises(ImageError):
        check(TEXT, both, publisher.public() + other.public(), publisher)


def test_a_missing_signature_is_rejected(publisher: Key) -> None:
    for signature in (b"", b"<html>404</html>", TEXT):
        with pytest.raises(ImageError, match="no valid signature"):
            check(TEXT, signature, publisher.public(), publisher)
    with pytest.raises(ImageError, match="no valid signature"):
        check(TEXT, None, publisher.public(), publisher)


def test_an_expired_key_is_rejected(publisher: Key) -> None:
    long_ago = ["--faked-system-time", "20200101T000000!"]
    expired = make_key(publisher.home, "expired", *long_ago, lasts="1y")
    with pytest.raises(ImageError, match="the key has expired"):
        check(TEXT, expired.detached(TEXT, *long_ago), expired.public(), expired)


def test_an_expired_signature_is_rejected(publisher: Key) -> None:
    long_ago = ["--faked-system-time", "20200101T000000!"]
    old = make_key(publisher.home, "old", *long_ago)
    signature = old.detached(TEXT, *long_ago, "--default-sig-expire", "1m")
    with pytest.raises(ImageError, match="the signature has expired"):
        check(TEXT, signature, old.public(), old)


def test_a_revoked_key_is_rejected(publisher: Key) -> None:
    revoked = make_key(publisher.home, "revoked")
    signature = revoked.detached(TEXT)
    revoked.revoke()
    with pytest.raises(ImageError, match="revoked"):
        check(TEXT, signature, revoked.public(), revoked)


def test_damaged_keys_are_rejected(publisher: Key) -> None:
    good = publisher.public()
    for key in (b"", b"not a key", good[: len(good) // 2], good.replace(b"\n\n", b"\n\n!!!!")):
        with pytest.raises(ImageError):
            check(TEXT, publisher.detached(TEXT), key, publisher)


def test_a_signature_by_a_subkey_is_accepted(publisher: Key) -> None:
    """The pinned fingerprint may be that of the primary key."""
    home = publisher.home
    master = make_key(home, "master")
    gpg(home, "--quick-add-key", master.fingerprint, "ed25519", "sign")
    signature = gpg(home, "--local-user", master.fingerprint, "--detach-sign", "-o", "-", given=TEXT)
    assert check(TEXT, signature, master.public(), master) == TEXT
