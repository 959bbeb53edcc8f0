"""Folders of the user that a stack reads besides its own."""

import os
from pathlib import Path

from pragmaspec.errors import Problem, UsageError
from pragmaspec.net.misplaced import refuse_url
from pragmaspec.net.urls import UrlError
from pragmaspec.paths import cache_home, config_home

LOCK_FILE = "pragmaspec.lock"
"""Beside the spec: the digests of images that were built or downloaded."""


def image_store() -> Path:
    """Where images are kept: ``$PRAGMASPEC_IMAGES``, else ``pragmaspec/images`` in the user's cache folder. Raises UsageError."""
    named = os.environ.get("PRAGMASPEC_IMAGES", "")
    try:
        refuse_url(named)
    except UrlError as error:
        raise UsageError(Problem(summary="PRAGMASPEC_IMAGES is not a folder", detail=f"{error}.")) from None
    return Path(named) if named else cache_home() / "pragmaspec" / "images"


def user_config() -> Path:
    """Where the user's own ``sites.yaml`` is looked for."""
    return config_home() / "pragmaspec"
