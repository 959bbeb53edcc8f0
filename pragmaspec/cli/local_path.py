"""Arguments that name a file of this machine."""

from typing import TypeVar

import typer

_Given = TypeVar("_Given")


def local_path(given: _Given) -> _Given:
    """``given``, a path, several of them or None, as it is. Raises BadParameter for a URL."""
    if given is not None:
        from pragmaspec.net.misplaced import refuse_url
        from pragmaspec.net.urls import UrlError

        for each in given if isinstance(given, list) else (given,):
            try:
                refuse_url(str(each))
            except UrlError as error:
                raise typer.BadParameter(f"{error}.") from None
    return given
