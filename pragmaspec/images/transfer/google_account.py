"""Access tokens of Google service accounts, by google-auth, an optional dependency, over our own HTTP client.

Source: "Using OAuth 2.0 for Server to Server Applications" (Google Identity); RFC 7523.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.images.transfer.http import DownloadClient, raise_if_temporary, read_limited
from pragmaspec.net.urls import UrlError, parse_url, redact_url
from pragmaspec.spec.yaml.text import FILE_SIZE_MAX

SCOPE = "https://www.googleapis.com/auth/drive.readonly"
_SHOWN_CHARACTERS = 200


class ServiceAccount:
    """The service account whose JSON key is in ``key_file``. Its token is reused until shortly before it expires."""

    def __init__(self, key_file: str) -> None:
        self._key_file = Path(key_file).expanduser()
        self._credentials: Any = None  # of google-auth, which may be absent

    def token(self, client: DownloadClient) -> str:
        """Return a valid access token. Raises ImageError and TRANSPORT_ERRORS."""
        if self._credentials is None:
            self._credentials = self._load()
        if not self._credentials.valid:
            self._refresh(client)
        return str(self._credentials.token)

    def _load(self) -> Any:  # noqa: ANN401 - as above
        try:
            from google.oauth2.service_account import Credentials  # noqa: PLC0415 - heavy, and an optional dependency
        except ImportError:
            why = "service accounts need google-auth (the extra `gdrive`): pip install 'google-auth>=2.30'"
            raise self._error(f"{why}. Without it, use an API key, or share the file with everyone who has the link") from None
        key = self._read_key()
        try:
            return Credentials.from_service_account_info(key, scopes=[SCOPE])  # type: ignore[no-untyped-call]
        except (ValueError, TypeError):
            raise self._error("its private key is not a PEM RSA key") from None

    def _read_key(self) -> dict[str, str]:
        try:
            content = json.loads(read_regular(self._key_file, FILE_SIZE_MAX))
            key = {name: str(content[name]) for name in ("client_email", "private_key", "token_uri")}
            key |= {"private_key_id": str(content["private_key_id"])} if "private_key_id" in content else {}
        except OSError as error:
            raise self._error(error.strerror or "it cannot be read") from None
        except (ValueError, KeyError, TypeError):
            raise self._error("it is not the JSON key of a service account") from None
        try:
            server = parse_url(key["token_uri"])
        except UrlError as error:
            raise self._error(f"its token_uri is invalid: {error}") from None
        if server.scheme != "https" and not server.is_local:
            raise self._error("its token_uri is not an https URL")
        return key

    def _refresh(self, client: DownloadClient) -> None:
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - heavy, and an optional dependency

        try:
            self._credentials.refresh(_Transport(client))
        except GoogleAuthError as error:
            reason = "".join(letter for letter in str(error.args[0]) if letter.isprintable())[:_SHOWN_CHARACTERS]
            raise self._error(f"Google refused a token: {reason or 'no reason given'}") from None
        except UnicodeError:
            raise
        except (ValueError, TypeError):
            raise self._error("the server of its token_uri does not answer with a token") from None

    def _error(self, reason: str) -> ImageError:
        return ImageError("Service account cannot be used", f"{self._key_file}: {reason}.")


class _Response(NamedTuple):
    """A response as google-auth expects it (``google.auth.transport.Response``)."""

    status: int
    headers: Mapping[str, str]
    data: str


class _Transport:
    """Sends google-auth's requests with the proxies, trusted certificates, timeouts and limits of all other requests.

    Temporary failures are raised as TransferInterruptedError, so that the caller's retry policy applies and not google-auth's.
    """

    def __init__(self, client: DownloadClient) -> None:
        self._client = client

    def __call__(
        self, url: str, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> _Response:
        with self._client.send(method, url, headers=headers, body=body) as response:
            raise_if_temporary(response)
            text = read_limited(redact_url(url), response).decode(errors="replace")
        return _Response(response.status_code, response.headers, text)
