"""Files behind URLs; signed where the user has a key for the server (Amazon CloudFront, canned policy).

Source: Amazon CloudFront Developer Guide, "Create a signed URL using a canned policy". The signature covers the URL as it is
asked for, so it is made anew for every try, and is never kept.
"""

import time
from base64 import b64encode
from fnmatch import fnmatchcase
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen
from pragmaspec.images.settings import CloudFrontKey
from pragmaspec.images.transfer.http import HttpClient, RequestSpec
from pragmaspec.net.urls import Url, UrlError, parse_url, redact_url
from pragmaspec.spec.yaml.text import FILE_SIZE_MAX

SIGNATURE_VALID_S = 3600
"""How long a signature allows the file to be asked for; the transfer itself may take longer."""


class WebFile(Frozen, frozen=True):
    """The file at ``url``. ``signing``: the keys that the user has; that of the server, if there is one, is used."""

    url: str
    signing: tuple[CloudFrontKey, ...] = ()

    def shown(self) -> str:
        """The URL without user, password and query."""
        return redact_url(self.url)

    def ask(self, web: HttpClient) -> RequestSpec:  # noqa: ARG002 - this kind need not ask before
        """The URL, signed from now on for an hour when there is a key for its server. Raises ImageError."""
        try:
            url = parse_url(self.url)
        except UrlError as error:
            raise _unusable(self.url, error) from None
        key = next((key for key in self.signing if _covers(key, url)), None)
        return RequestSpec(url=sign_url(url.text, key, int(time.time()) + SIGNATURE_VALID_S) if key else self.url)


def sign_url(url: str, key: CloudFrontKey, expires: int) -> str:
    """``url`` with a signature that is good until ``expires`` (seconds since 1970). Raises ImageError."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    server = parse_url(url)
    if server.scheme != "https" and not server.is_local:
        raise _wrong(
            url, "a signed URL would travel unencrypted, and everybody on the way could use it. Write https: in the spec"
        )
    file = Path(key.private_key).expanduser()
    try:
        private = load_pem_private_key(read_regular(file, FILE_SIZE_MAX), password=None)
    except OSError as error:
        raise _wrong(url, f"the private key {file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise _wrong(url, f"{file} is not a private key in PEM without a passphrase") from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise _wrong(url, f"{file} is not an RSA key, and signed URLs with a canned policy are made with one")
    policy = f'{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}'
    # SHA-1 is what the service asks for; it signs a statement of our own, so a collision helps nobody.
    signature = private.sign(policy.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    text = b64encode(signature).decode().translate(str.maketrans("+=/", "-_~"))
    joint = "&" if server.query else "?"
    return f"{url}{joint}Expires={expires}&Signature={text}&Key-Pair-Id={key.key_pair_id}"


def _covers(key: CloudFrontKey, url: Url) -> bool:
    return any(fnmatchcase(url.authority, pattern.lower()) for pattern in key.hosts)


def _unusable(url: str, error: UrlError) -> ImageError:
    return ImageError("Image cannot be downloaded", f"{redact_url(url)} cannot be used: {error}.")


def _wrong(url: str, why: str) -> ImageError:
    return ImageError("URL cannot be signed", f"{redact_url(url)}: {why}.")
