"""Server sides of the sources' protocols: each rejects invalid requests, and passes valid ones on to the file.

Implemented from the protocols' specifications, independently of the tested code.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.images.file_server import Asked, Reply

FILE_ID = "1AbCdEfGhIjKlMnOpQrStUvWxYz012345"
FOLDER_ID = "1FoLdErFoLdErFoLdErFoLdEr0123456"


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@dataclass
class CloudFront:
    """A distribution that requires signed URLs, with one public key."""

    key: rsa.RSAPrivateKey
    base: Callable[[], str]
    key_pair_id: str = "K2JCJMDEHXQW5F"

    def __call__(self, asked: Asked) -> Reply | None:
        url, _, query = asked.path.rpartition("Expires=")
        given = dict(parse_qsl("Expires=" + query))
        if not url or given.get("Key-Pair-Id") != self.key_pair_id:
            return Reply(403, b"<Error><Code>MissingKey</Code></Error>", {"Content-Type": "text/xml"})
        policy = json.dumps(
            {
                "Statement": [
                    {
                        "Resource": self.base() + url.rstrip("?&"),
                        "Condition": {"DateLessThan": {"AWS:EpochTime": int(given["Expires"])}},
                    }
                ]
            },
            separators=(",", ":"),
        )
        signature = base64.b64decode(given["Signature"].replace("-", "+").replace("_", "=").replace("~", "/"))
        try:
            self.key.public_key().verify(signature, policy.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - the protocol
        except InvalidSignature:
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "text/xml"})
        return None if int(given["Expires"]) > time.time() else Reply(403)


@dataclass
class S3:
    """A server that requires Signature Version 4 in the query, unless ``anonymous``."""

    access_key: str = "AKIDEXAMPLE"
    secret: str = "canary-of-the-bucket"
    region: str = "eu-central-1"
    anonymous: bool = False

    def __call__(self, asked: Asked) -> Reply | None:
        parts = urlsplit(asked.path)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self.anonymous:
            return None if "X-Amz-Signature" not in given else Reply(400)
        signature = given.pop("X-Amz-Signature", "")
        credential, moment = given.get("X-Amz-Credential", ""), given.get("X-Amz-Date", "")
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        if credential != f"{self.access_key}/{scope}":
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(given.items()))
        host = next(value for name, value in asked.headers.items() if name.lower() == "host")
        request = "\n".join(["GET", parts.path, query, f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
        text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = f"AWS4{self.secret}".encode()
        for step in (moment[:8], self.region, "s3", "aws4_request"):
            key = hmac.digest(key, step.encode(), "sha256")
        wanted = hmac.digest(key, text.encode(), "sha256").hex()
        return (
            None if hmac.compare_digest(wanted, signature) else Reply(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        )


WARNING = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="{action}" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="3f1c-77"></form></body></html>"""
QUOTA = "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>Too many users</body></html>"
ENTRY = """<div class="flip-entry" id="entry-{id}" tabindex="0" role="link"><div class="flip-entry-info">
<a href="https://drive.google.com/file/d/{id}/view?usp=drive_web" target="_blank"><div class="flip-entry-visual"></div>
<div class="flip-entry-title">{name}</div></a></div></div>"""


@dataclass
class DriveSite:
    """The public site: confirmation pages for large files, and listings of folders."""

    files: dict[str, str] = field(default_factory=lambda: {"disk.qcow2": FILE_ID})
    warns: bool = True
    quota: bool = False

    def __call__(self, asked: Asked) -> Reply | None:
        parts = urlsplit(asked.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        html = {"Content-Type": "text/html; charset=utf-8"}
        if parts.path == "/embeddedfolderview" and given.get("id") == FOLDER_ID:
            page = "".join(ENTRY.format(id=each, name=name) for name, each in self.files.items())
            return Reply(200, f"<!DOCTYPE html><html><body>{page}</body></html>".encode(), html)
        if given.get("id") not in self.files.values():
            return Reply(404, b"<!DOCTYPE html><html>not found</html>", html)
        if self.quota:
            return Reply(200, QUOTA.encode(), html)
        if parts.path == "/uc" and self.warns:
            return Reply(200, WARNING.format(action="/download", id=given["id"]).encode(), html)
        if parts.path == "/download" and self.warns and given.get("uuid") != "3f1c-77":
            return Reply(200, WARNING.format(action="/download", id=given["id"]).encode(), html)
        return None


@dataclass
class DriveApi:
    """The REST API, for a service account (RFC 7523) or an API key."""

    key: rsa.RSAPrivateKey
    base: Callable[[], str]
    files: dict[str, str] = field(default_factory=lambda: {"disk.qcow2": FILE_ID})
    account: str = "reader@project.iam.gserviceaccount.com"
    api_key: str = "canary-api-key"
    key_id: str = "3f1c77"
    tokens: int = 0

    def __call__(self, asked: Asked) -> Reply | None:
        if asked.method == "POST" and asked.path == "/token":
            return self._token(asked)
        headers = {name.lower(): value for name, value in asked.headers.items()}
        if headers.get("authorization") != "Bearer canary-token" and headers.get("x-goog-api-key") != self.api_key:
            return Reply(401, b'{"error": {"code": 401}}', {"Content-Type": "application/json"})
        parts = urlsplit(asked.path)
        given = dict(parse_qsl(parts.query))
        if parts.path == "/drive/v3/files":
            return self._page(given)
        wanted = parts.path.removeprefix("/drive/v3/files/")
        if wanted not in self.files.values() or given.get("alt") != "media":
            return Reply(404, b'{"error": {"code": 404}}', {"Content-Type": "application/json"})
        return None

    def _page(self, given: dict[str, str]) -> Reply:
        assert given["q"] == f"'{FOLDER_ID}' in parents and trashed=false"
        names = sorted(self.files)
        first = int(given.get("pageToken", "0"))
        page = {
            "files": [
                {"name": name, "id": self.files[name], "mimeType": "application/octet-stream"}
                for name in names[first : first + 1]
            ]
        }
        if first + 1 < len(names):
            page["nextPageToken"] = str(first + 1)  # type: ignore[assignment]  # JSON
        return Reply(200, json.dumps(page).encode(), {"Content-Type": "application/json"})

    def _token(self, asked: Asked) -> Reply:
        given = dict(parse_qsl(asked.body.decode()))
        head, claims, signature = given["assertion"].split(".")
        said = json.loads(_plain(claims))
        assert given["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        assert json.loads(_plain(head)) == {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        assert (said["iss"], said["aud"]) == (self.account, "https://oauth2.googleapis.com/token")
        assert said["scope"] == "https://www.googleapis.com/auth/drive.readonly"
        assert said["exp"] - said["iat"] <= 3600
        self.key.public_key().verify(_plain(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        self.tokens += 1
        token = {"access_token": "canary-token", "expires_in": 3599, "token_type": "Bearer"}
        return Reply(200, json.dumps(token).encode(), {"Content-Type": "application/json"})

    def key_file(self, folder: Path) -> Path:
        file = folder / "account.json"
        file.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "client_email": self.account,
                    "private_key_id": self.key_id,
                    "private_key": pem(self.key).decode(),
                    "token_uri": f"{self.base()}/token",
                }
            )
        )
        return file


def _plain(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Publisher:
    """A publisher's server: listed folders, small files, and the paths of ``images``."""

    folders: dict[str, list[str]]
    small: dict[str, bytes]
    images: set[str]

    def __call__(self, asked: Asked) -> Reply | None:
        path = urlsplit(asked.path).path
        if path in self.folders:
            links = "".join(f'<a href="{name}">{name}</a>\n' for name in self.folders[path])
            page = f'<html><body><a href="../">Parent</a><a href="?C=M;O=A">Last modified</a>{links}</body></html>'
            return Reply(200, page.encode(), {"Content-Type": "text/html"})
        if path in self.small:
            return Reply(200, self.small[path])
        return None if path in self.images else Reply(404, b"<html>not here</html>", {"Content-Type": "text/html"})
