"""The kinds of image sources, and the choice of one for an image of the spec."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.images.sources.catalogue import CatalogueSource
from pragmaspec.images.sources.clonezilla import ClonezillaSource, clonezilla_source
from pragmaspec.images.sources.debian import DebianSource
from pragmaspec.images.sources.local import LocalSource
from pragmaspec.images.sources.pragma import PragmaSource, pragma_source
from pragmaspec.images.sources.publication import PublishedChecksums
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.net.urls import is_remote

if TYPE_CHECKING:
    from pragmaspec.spec.models.image import ImageModel, SumsModel

AnySource = ClonezillaSource | DebianSource | LocalSource | PragmaSource | CatalogueSource | UrlSource


def source_of(model: "ImageModel", directory: Path) -> AnySource:
    """Return the source that ``model`` describes; its paths are relative to ``directory``."""
    if model.build is not None:
        build = model.build
        return DebianSource(
            suite=build.debian or build.ubuntu or "",
            packages=tuple(build.packages),
            mirror=build.mirror,
            snapshot=build.snapshot,
            distribution="debian" if build.debian else "ubuntu",
            keyring=_absolute(build.keyring, directory) if build.keyring else "",
        )
    if model.catalogue:
        return CatalogueSource(name=model.catalogue)
    if model.clonezilla:
        return clonezilla_source(_absolute(model.clonezilla, directory), model.clonezilla)
    if model.pragma:
        pragma = model.pragma
        return pragma_source(_absolute(pragma.repository, directory), pragma.repository, pragma.cluster, pragma.role)
    return _file_source(model, directory)


def needs_lock(source: AnySource) -> bool:
    """True if only the lock file determines which bytes of ``source`` are accepted."""
    if isinstance(source, UrlSource):
        return not source.sha256 and source.sums is None
    if isinstance(source, ClonezillaSource):
        return is_remote(source.folder)
    return isinstance(source, PragmaSource) and is_remote(source.repository)


def may_change(source: AnySource) -> bool:
    """True if ``source`` may serve another image later, so that one in the store is not necessarily the current one."""
    return needs_lock(source) or isinstance(source, CatalogueSource) or (isinstance(source, UrlSource) and not source.sha256)


def _absolute(address: str, directory: Path) -> str:
    """Return a URL unchanged, a path as an absolute one; symbolic links are kept."""
    return address if is_remote(address) else os.path.abspath(directory / address)  # noqa: PTH100 - resolve() follows links


def _file_source(model: "ImageModel", directory: Path) -> LocalSource | UrlSource:
    source = model.source or ""
    kernel = _absolute(model.kernel, directory) if model.kernel else None
    initrd = _absolute(model.initrd, directory) if model.initrd else None
    if is_remote(source):
        return UrlSource(
            url=source,
            sha256=model.sha256 or "",
            mirrors=model.mirrors,
            sums=_published_checksums(model.sums, directory) if model.sums else None,
            format=model.format,
            kernel=kernel,
            initrd=initrd,
            cmdline=model.cmdline or "",
            member=model.member or "",
        )
    return LocalSource(
        disk=_absolute(source, directory) if source else "",
        shown=source,
        sha256=model.sha256,
        format=model.format,
        kernel=kernel,
        initrd=initrd,
        cmdline=model.cmdline or "",
        member=model.member or "",
    )


def _published_checksums(model: "SumsModel", directory: Path) -> PublishedChecksums:
    return PublishedChecksums(
        url=model.url,
        signature=model.signature or "",
        key=model.key or "",
        key_url=model.key_url or "",
        keyring=_absolute(model.keyring, directory) if model.keyring else "",
    )
