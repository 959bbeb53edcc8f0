"""Service accounts of Google: a short-lived token for the key in a file.

Source: "Using OAuth 2.0 for Server to Server Applications" (Google Identity); RFC 7523.
"""

import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.images.transfer.http import HttpClient
from pragmaspec.net.urls import UrlError, parse_url
from pragmaspec.spec.yaml.text import FILE_SIZE_MAX

SCOPE = "https://www.googleapis.com/auth/drive.readonly"
LASTS_S = 3600
_EARLY_S = 120


class ServiceAccount:
    """The account whose key is in ``file``. Keeps its token as long as it is good."""

    def __init__(self, file: str) -> None:
        self._file = Path(file).expanduser()
        self._token = ""
        self._until = 0.0

    def token(self, web: HttpClient) -> str:
        """An access token. Raises ImageError and BrokenOffError."""
        if time.monotonic() >= self._until:
            key = self._key()
            answer = web.post(
                key["token_uri"], {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._assertion(key)}
            )
            try:
                said: dict[str, Any] = json.loads(answer)
                self._token, lasts_s = str(said["access_token"]), float(said.get("expires_in", LASTS_S))
            except (ValueError, KeyError, TypeError):
                raise self._wrong(f"{key['token_uri']} does not answer with a token") from None
            self._until = time.monotonic() + lasts_s - _EARLY_S
        return self._token

    def _key(self) -> dict[str, str]:
        try:
            key: dict[str, str] = json.loads(read_regular(self._file, FILE_SIZE_MAX))
            found = {name: str(key[name]) for name in ("client_email", "private_key", "token_uri")}
        except OSError as error:
            raise self._wrong(error.strerror or "it cannot be read") from None
        except (ValueError, KeyError, TypeError):
            raise self._wrong("it is not the JSON key of a service account") from None
        try:
            server = parse_url(found["token_uri"])
        except UrlError as error:
            raise self._wrong(f"its token_uri cannot be used: {error}") from None
        if server.scheme != "https" and not server.is_local:
            raise self._wrong("its token_uri is not an https URL")
        return found

    def _assertion(self, key: dict[str, str]) -> str:
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - heavy
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        try:
            private = load_pem_private_key(key["private_key"].encode(), password=None)
        except (ValueError, TypeError):
            raise self._wrong("its private key is damaged") from None
        if not isinstance(private, rsa.RSAPrivateKey):
            raise self._wrong("its private key is not an RSA key")
        now = int(time.time())
        claims = {"iss": key["client_email"], "scope": SCOPE, "aud": key["token_uri"], "iat": now, "exp": now + LASTS_S}
        signed = b".".join((_part({"alg": "RS256", "typ": "JWT"}), _part(claims)))
        return b".".join((signed, _text(private.sign(signed, padding.PKCS1v15(), hashes.SHA256())))).decode()

    def _wrong(self, why: str) -> ImageError:
        return ImageError("Service account cannot be used", f"{self._file}: {why}.")


def _part(claims: dict[str, Any]) -> bytes:
    return _text(json.dumps(claims, separators=(",", ":")).encode())


def _text(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")
