"""Lists the images of a stack: in the spec, recorded at sites, and stored locally."""

from typing import TYPE_CHECKING

from pragmaspec.report.lists_text import ImageRow
from pragmaspec.resources import StagedImage
from pragmaspec.state_model import State

if TYPE_CHECKING:
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.stack.stack import Stack


def list_images(stack: "Stack", reporter: "ImageReporter | None" = None) -> tuple[ImageRow, ...]:
    """Return the images, those of the spec first. Raises SpecError and ImageError."""
    wanted, state = stack.wanted(reporter), stack.state()
    stored = {entry.digest for entry in stack.library.entries()}
    found = {
        image.digest: ImageRow(
            name=image.name,
            origin=image.origin,
            format=image.format,
            digest=image.digest,
            size_bytes=sum(blob.size_bytes for blob in (image.disk, image.kernel, image.initrd) if blob),
            sites=_sites(state, image.digest),
            local=image.digest in stored,
        )
        for image in wanted.images
    }
    for image in _staged(state):
        found.setdefault(
            image.digest,
            ImageRow(
                name=image.name,
                origin="no longer in the spec",
                format=image.format,
                digest=image.digest,
                size_bytes=image.transfer_bytes,
                sites=_sites(state, image.digest),
                local=image.digest in stored,
            ),
        )
    return tuple(found.values())


def _sites(state: State, digest: str) -> tuple[str, ...]:
    return tuple(sorted(image.site for image in _staged(state) if image.digest == digest))


def _staged(state: State) -> tuple[StagedImage, ...]:
    return tuple(record.resource for record in state.records if isinstance(record.resource, StagedImage))
