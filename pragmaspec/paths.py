"""The user's directories, following the XDG Base Directory Specification 0.8.

A variable that is empty or contains a relative path is ignored, as the specification requires. No directory is created, and
nothing raises: for a user without a home directory, an empty one is assumed.
"""

import os
from pathlib import Path

NO_HOME = Path(os.devnull)
"""The home directory of a user who has none: empty, and not writable, not even for root."""


def home() -> Path:
    """Return the home directory: ``$HOME``, else the one in the password database."""
    found = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises if there is none
    return Path(found) if found.startswith("/") else NO_HOME


def cache_home() -> Path:
    """Return ``$XDG_CACHE_HOME``, else ``~/.cache``: files that can be recreated."""
    return _base("XDG_CACHE_HOME", ".cache")


def config_home() -> Path:
    """Return ``$XDG_CONFIG_HOME``, else ``~/.config``: configuration files."""
    return _base("XDG_CONFIG_HOME", ".config")


def data_home() -> Path:
    """Return ``$XDG_DATA_HOME``, else ``~/.local/share``: data that must not be lost, such as keys."""
    return _base("XDG_DATA_HOME", ".local/share")


def state_home() -> Path:
    """Return ``$XDG_STATE_HOME``, else ``~/.local/state``: state that persists between runs, such as history."""
    return _base("XDG_STATE_HOME", ".local/state")


def _base(variable: str, default: str) -> Path:
    value = os.environ.get(variable, "")
    return Path(value) if value.startswith("/") else home() / default
