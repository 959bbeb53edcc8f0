"""Files at http and https URLs, signed if the user has a key for the server (Amazon CloudFront, canned policy).

Source: Amazon CloudFront Developer Guide, "Create a signed URL using a canned policy". The signature covers the URL of the
request, so it is created per attempt and never stored. ``botocore.signers.CloudFrontSigner`` produces the same URLs, but would
make CloudFront require the extra ``s3``.
"""

import time
from base64 import b64encode
from fnmatch import fnmatchcase
from pathlib import Path

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen
from pragmaspec.images.settings import CloudFrontKey
from pragmaspec.images.transfer.http import DownloadClient, RequestSpec, parse_web_url
from pragmaspec.net.urls import Url, parse_url, redact_url
from pragmaspec.spec.yaml.text import FILE_SIZE_MAX

SIGNATURE_VALID_S = 3600
"""Validity of a signature for starting a download, which itself may take longer."""


class WebFile(Frozen, frozen=True):
    """The file at ``url``. If one of the user's keys, ``signing``, is for its server, the URL is signed."""

    url: str
    signing: tuple[CloudFrontKey, ...] = ()

    def display_name(self) -> str:
        """The URL without user, password and query."""
        return redact_url(self.url)

    def request(self, client: DownloadClient) -> RequestSpec:  # noqa: ARG002 - part of the protocol
        """Return the request, signed if there is a key for the server. Raises ImageError."""
        url = parse_web_url(self.url)
        key = next((key for key in self.signing if _matches(key, url)), None)
        return RequestSpec(url=sign_url(url.text, key, int(time.time()) + SIGNATURE_VALID_S) if key else self.url)


def sign_url(url: str, key: CloudFrontKey, expires: int) -> str:
    """Return ``url`` with a signature valid until ``expires`` (seconds since 1970). Raises ImageError."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    server = parse_url(url)
    if server.scheme != "https" and not server.is_local:
        raise _signing_error(url, "a signed URL must not be sent unencrypted. Use https: in the spec")
    file = Path(key.private_key).expanduser()
    try:
        private = load_pem_private_key(read_regular(file, FILE_SIZE_MAX), password=None)
    except OSError as error:
        raise _signing_error(url, f"the private key {file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise _signing_error(url, f"{file} is not a PEM private key without a passphrase") from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise _signing_error(url, f"{file} is not an RSA key, which signatures with a canned policy require")
    policy = f'{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}'
    # The service requires SHA-1. It signs a statement of our own, so a collision is of no use to an attacker.
    signature = private.sign(policy.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    text = b64encode(signature).decode().translate(str.maketrans("+=/", "-_~"))
    separator = "&" if server.query else "?"
    return f"{url}{separator}Expires={expires}&Signature={text}&Key-Pair-Id={key.key_pair_id}"


def _matches(key: CloudFrontKey, url: Url) -> bool:
    return any(fnmatchcase(url.authority, pattern.lower()) for pattern in key.hosts)


def _signing_error(url: str, reason: str) -> ImageError:
    return ImageError("URL cannot be signed", f"{redact_url(url)}: {reason}.")
