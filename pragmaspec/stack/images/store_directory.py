"""The location of the local image store."""

import os
from pathlib import Path

from pragmaspec.errors import UsageError
from pragmaspec.net.urls import UrlError, reject_url
from pragmaspec.paths import cache_home


def image_store_directory() -> Path:
    """Return ``$PRAGMASPEC_IMAGES``, else ``pragmaspec/images`` in the user's cache directory. Raises UsageError for a URL."""
    setting = os.environ.get("PRAGMASPEC_IMAGES", "")
    try:
        reject_url(setting)
    except UrlError as error:
        raise UsageError("PRAGMASPEC_IMAGES is not a directory", f"{error}.") from None
    return Path(setting) if setting else cache_home() / "pragmaspec" / "images"
