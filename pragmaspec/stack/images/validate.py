"""Checks that the files and names in the images of a spec exist, without building or fetching anything."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.errors import ImageError
from pragmaspec.files import read_regular
from pragmaspec.spec.findings import Finding

if TYPE_CHECKING:
    from pragmaspec.spec.models.image import ImageModel

_Place = tuple[str, ...]


def image_findings(name: str, model: "ImageModel", directory: Path) -> Iterator[Finding]:
    """Yield the missing files and names of image ``name`` of a spec in ``directory``. Uses no network.

    Raises ImageError if the user's settings of image sources are invalid.
    """
    at = ("images", name)
    for place, path in _files(model):
        yield from _unreadable((*at, *place), directory / path)
    for place, path in _directories(model):
        if not (directory / path).is_dir():
            yield Finding((*at, *place), "Directory not found", f"There is no directory {directory / path}. {_RELATIVE}")
    if model.catalogue:
        yield from _unknown((*at, "catalogue"), model.catalogue)


def _files(model: "ImageModel") -> Iterator[tuple[_Place, str]]:
    """The local files, by their path in the image section."""
    named: dict[_Place, str | None] = {
        ("source",): model.source,
        ("kernel",): model.kernel,
        ("initrd",): model.initrd,
        ("clonezilla",): model.clonezilla if _is_iso(model.clonezilla) else None,
        ("build", "keyring"): model.build.keyring if model.build else None,
        ("sums", "keyring"): model.sums.keyring if model.sums else None,
    }
    yield from ((place, path) for place, path in named.items() if path and "://" not in path)


def _directories(model: "ImageModel") -> Iterator[tuple[_Place, str]]:
    named: dict[_Place, str | None] = {
        ("clonezilla",): None if _is_iso(model.clonezilla) else model.clonezilla,
        ("pragma", "repository"): model.pragma.repository if model.pragma else None,
    }
    yield from ((place, path) for place, path in named.items() if path and "://" not in path)


def _is_iso(path: str | None) -> bool:
    return path is not None and path.lower().endswith(".iso")


def _unreadable(at: _Place, file: Path) -> Iterator[Finding]:
    try:
        read_regular(file, 0)
    except FileNotFoundError:
        yield Finding(at, "File not found", f"There is no {file}. {_RELATIVE}")
    except OSError as error:
        yield Finding(at, "File not readable", f"{file} cannot be read: {error.strerror}.")


def _unknown(at: _Place, name: str) -> Iterator[Finding]:
    from pragmaspec.images.settings import read_settings
    from pragmaspec.images.sources.releases import find_publication

    settings = read_settings()
    try:
        find_publication(name, settings)
    except ImageError as error:
        yield from (Finding(at, "Unknown catalogue name", problem.detail) for problem in error.problems)


_RELATIVE = "Paths are relative to the file they stand in."
