"""The kinds of sources, and which one an image of the spec means."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.images.sources.catalogue import CatalogueSource
from pragmaspec.images.sources.clonezilla import ClonezillaSource, clonezilla_source
from pragmaspec.images.sources.debian import DebianSource
from pragmaspec.images.sources.local import LocalSource
from pragmaspec.images.sources.pragma import PragmaSource, pragma_source
from pragmaspec.images.sources.url import Sums, UrlSource
from pragmaspec.net.urls import is_remote

if TYPE_CHECKING:
    from pragmaspec.spec.models.image import ImageModel, SumsModel

AnySource = ClonezillaSource | DebianSource | LocalSource | PragmaSource | CatalogueSource | UrlSource


def source_of(model: "ImageModel", directory: Path) -> AnySource:
    """The source that ``model`` describes; its paths are relative to ``directory``."""
    if model.build is not None:
        build = model.build
        return DebianSource(
            suite=build.debian or build.ubuntu or "",
            packages=tuple(build.packages),
            mirror=build.mirror,
            snapshot=build.snapshot,
            distribution="debian" if build.debian else "ubuntu",
            keyring=os.path.abspath(directory / build.keyring) if build.keyring else "",  # noqa: PTH100 - as below
        )
    if model.catalogue:
        return CatalogueSource(name=model.catalogue)
    if model.clonezilla:
        return clonezilla_source(_placed(model.clonezilla, directory), model.clonezilla)
    if model.pragma:
        wanted = model.pragma
        return pragma_source(_placed(wanted.repository, directory), wanted.repository, wanted.cluster, wanted.role)
    return _file_of(model, directory)


def needs_lock(source: AnySource) -> bool:
    """Whether nobody but the lock file can say which bytes ``source`` has to give."""
    if isinstance(source, UrlSource):
        return not source.sha256 and source.sums is None
    if isinstance(source, ClonezillaSource):
        return is_remote(source.folder)
    return isinstance(source, PragmaSource) and is_remote(source.repository)


def may_change(source: AnySource) -> bool:
    """Whether ``source`` may give another image tomorrow, so that one which is here already is no answer."""
    return needs_lock(source) or isinstance(source, CatalogueSource) or (isinstance(source, UrlSource) and not source.sha256)


def _placed(place: str, directory: Path) -> str:
    """A URL as it is, a path as from here."""
    return place if is_remote(place) else os.path.abspath(directory / place)  # noqa: PTH100 - links stay as they are


def _file_of(model: "ImageModel", directory: Path) -> LocalSource | UrlSource:
    def absolute(path: str | None) -> str | None:
        return os.path.abspath(directory / path) if path else None  # noqa: PTH100 - symbolic links stay as they are

    source = model.source or ""
    kernel, initrd, cmdline = absolute(model.kernel), absolute(model.initrd), model.cmdline or ""
    if is_remote(source):
        return UrlSource(
            url=source,
            sha256=model.sha256 or "",
            mirrors=model.mirrors,
            sums=_sums_of(model.sums, absolute(model.sums.keyring)) if model.sums else None,
            format=model.format,
            kernel=kernel,
            initrd=initrd,
            cmdline=cmdline,
            member=model.member or "",
        )
    return LocalSource(
        disk=absolute(source) or "",
        shown=source,
        sha256=model.sha256,
        format=model.format,
        kernel=kernel,
        initrd=initrd,
        cmdline=cmdline,
        member=model.member or "",
    )


def _sums_of(model: "SumsModel", keyring: str | None) -> Sums:
    return Sums(
        url=model.url,
        signature=model.signature or "",
        key=model.key or "",
        key_url=model.key_url or "",
        keyring=keyring or "",
    )
