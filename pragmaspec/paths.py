"""The user's folders, as the XDG Base Directory Specification 0.8 names them.

A variable that is empty or holds a relative path is ignored, as the specification asks. Nothing is made here, and nothing raises:
a user without a home folder has one that holds nothing.
"""

import os
from pathlib import Path

NO_HOME = Path(os.devnull)
"""The home folder of a user who has none: nothing is in it, and nothing can be put into it, by root neither."""


def home() -> Path:
    """The home folder: ``$HOME``, else that of the user's entry in the password database."""
    found = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return Path(found) if found.startswith("/") else NO_HOME


def cache_home() -> Path:
    """``$XDG_CACHE_HOME``, else ``~/.cache``: what can be made again."""
    return _base("XDG_CACHE_HOME", ".cache")


def config_home() -> Path:
    """``$XDG_CONFIG_HOME``, else ``~/.config``: settings."""
    return _base("XDG_CONFIG_HOME", ".config")


def data_home() -> Path:
    """``$XDG_DATA_HOME``, else ``~/.local/share``: what must not be lost, such as keys."""
    return _base("XDG_DATA_HOME", ".local/share")


def state_home() -> Path:
    """``$XDG_STATE_HOME``, else ``~/.local/state``: what programs remember of what they did."""
    return _base("XDG_STATE_HOME", ".local/state")


def _base(variable: str, usual: str) -> Path:
    named = os.environ.get(variable, "")
    return Path(named) if named.startswith("/") else home() / usual
