"""The kinds of sources, and which one an image of the spec means."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.images.sources.debian import DebianSource
from pragmaspec.images.sources.http import HttpSource
from pragmaspec.images.sources.local import LocalSource

if TYPE_CHECKING:
    from pragmaspec.spec.image_model import ImageModel

AnySource = DebianSource | HttpSource | LocalSource


def source_of(model: "ImageModel", directory: Path) -> AnySource:
    """The source that ``model`` describes; its paths are relative to ``directory``."""
    if model.build is not None:
        build = model.build
        return DebianSource(suite=build.debian, packages=tuple(build.packages), mirror=build.mirror, snapshot=build.snapshot)

    def absolute(path: str | None) -> str | None:
        return os.path.abspath(directory / path) if path else None  # noqa: PTH100 - symbolic links stay as they are

    source = model.source or ""
    kernel, initrd, cmdline = absolute(model.kernel), absolute(model.initrd), model.cmdline or ""
    if source.startswith(("http://", "https://")):
        return HttpSource(
            url=source, sha256=model.sha256 or "", format=model.format, kernel=kernel, initrd=initrd, cmdline=cmdline
        )
    return LocalSource(
        disk=absolute(source) or "",
        shown=source,
        sha256=model.sha256,
        format=model.format,
        kernel=kernel,
        initrd=initrd,
        cmdline=cmdline,
    )
