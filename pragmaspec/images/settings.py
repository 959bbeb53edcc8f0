"""The user's settings for image sources: credentials and locations that do not belong into a spec.

From the environment, and from ``sources.toml`` in ``$XDG_CONFIG_HOME/pragmaspec`` (else ``~/.config/pragmaspec``)::

    [[cloudfront]]
    key_pair_id = "K2JCJMDEHXQW5F"
    private_key = "~/.config/pragmaspec/cloudfront.pem"
    hosts = ["images.example.org", "*.cloudfront.net"]

    [google-drive]
    service_account = "~/.config/pragmaspec/account.json"

    [catalogue.our-debian]
    folder = "https://images.example.org/debian/"
    ...
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.frozen import Frozen
from pragmaspec.images.sources.publication import Publication
from pragmaspec.net.urls import UrlError, parse_url
from pragmaspec.paths import home
from pragmaspec.spec.yaml.text import FILE_SIZE_MAX

SETTINGS_FILE = "sources.toml"


class CloudFrontKey(Frozen, frozen=True):
    """A key for signed URLs: the id of the public key, the file of the private key, and patterns of hosts (with ``*``)."""

    key_pair_id: str
    private_key: str
    hosts: tuple[str, ...] = ("*.cloudfront.net",)


class GoogleDriveSettings(Frozen, frozen=True):
    """Access to Google Drive: by a service account (the file with its key), an API key, or anonymously by link.

    ``site`` and ``api``: its URLs.
    """

    service_account: str = ""
    api_key: str = ""
    site: str = "https://drive.google.com"
    api: str = "https://www.googleapis.com"


class Settings(Frozen, frozen=True):
    """All settings. ``catalogue``: names and publications of the user, which override the built-in ones."""

    cloudfront: tuple[CloudFrontKey, ...] = ()
    drive: GoogleDriveSettings = GoogleDriveSettings()
    catalogue: tuple[tuple[str, Publication], ...] = ()


class _File(Frozen, frozen=True, rename={"google_drive": "google-drive"}):
    cloudfront: tuple[CloudFrontKey, ...] = ()
    google_drive: GoogleDriveSettings = GoogleDriveSettings()
    catalogue: dict[str, Publication] = msgspec.field(default_factory=dict)


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; the environment overrides the user's file. Raises ImageError if they are invalid."""
    file = _read(_directory(environ) / SETTINGS_FILE)
    key_pair, private = environ.get("PRAGMASPEC_CLOUDFRONT_KEY_PAIR_ID", ""), environ.get("PRAGMASPEC_CLOUDFRONT_PRIVATE_KEY", "")
    keys = file.cloudfront
    if bool(key_pair) != bool(private):
        raise _invalid("the environment", "set both PRAGMASPEC_CLOUDFRONT_KEY_PAIR_ID and PRAGMASPEC_CLOUDFRONT_PRIVATE_KEY")
    if key_pair:
        hosts = tuple(environ.get("PRAGMASPEC_CLOUDFRONT_HOSTS", "*.cloudfront.net").replace(",", " ").split())
        keys = (CloudFrontKey(key_pair_id=key_pair, private_key=private, hosts=hosts), *keys)
    drive = file.google_drive
    named: dict[str, str] = {
        field: environ[variable]
        for field, variable in (
            ("service_account", "PRAGMASPEC_GOOGLE_SERVICE_ACCOUNT"),
            ("api_key", "PRAGMASPEC_GOOGLE_API_KEY"),
            ("site", "PRAGMASPEC_GOOGLE_DRIVE_URL"),
            ("api", "PRAGMASPEC_GOOGLE_API_URL"),
        )
        if environ.get(variable)
    }
    for field in ("site", "api"):
        where = "the environment" if field in named else str(_directory(environ) / SETTINGS_FILE)
        _check(field, named.get(field) or getattr(drive, field), where)
    return Settings(
        cloudfront=keys, drive=msgspec.structs.replace(drive, **named), catalogue=tuple(sorted(file.catalogue.items()))
    )


def _check(field: str, url: str, where: str) -> None:
    try:
        parse_url(url)
    except UrlError as error:
        raise _invalid(where, f"the `{field}` of Google Drive is invalid: {error}") from None


def _directory(environ: Mapping[str, str]) -> Path:
    named = environ.get("XDG_CONFIG_HOME", "")
    return (Path(named) if named.startswith("/") else home() / ".config") / "pragmaspec"


def _read(file: Path) -> _File:
    try:
        text = read_regular(file, FILE_SIZE_MAX).decode()
    except (FileNotFoundError, NotADirectoryError):
        return _File()
    except OSError as error:
        raise _invalid(str(file), f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _invalid(str(file), str(error)) from None
    try:
        document: dict[str, Any] = tomllib.loads(text)
        return msgspec.convert(document, _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _invalid(str(file), str(error)) from None


def _invalid(where: str, why: str) -> ImageError:
    return ImageError("Invalid settings for image sources", f"{where}: {why}.")
