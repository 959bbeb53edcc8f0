"""Images at the site: uploaded once under a shared name, used by many stacks, removed by the last.

libvirt cannot rename a volume, so three empty marker volumes say what a half-written one cannot:

* ``….<lineage8>.ref``      the stack uses the image (made first, so that nobody removes it meanwhile);
* ``….<lineage8>.staging``  the stack is uploading it;
* ``…<digest>.complete``    every part is whole (made last).

A part without completion mark is redone by whoever finds it, unless another stack's upload is still growing.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import libvirt

from pragmaspec.errors import Problem, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.images.files import ImageFiles
from pragmaspec.providers.base import Transferred
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.volume_xml import SHARED, raw_xml
from pragmaspec.recorded import Blob, Mark, Outputs, StagedImage

STALLED_S = 30.0
"""Another stack's upload that has not grown for so long is given up for dead."""
UNMARKED_S = 2.0
"""The same for parts that nobody says to be uploading: left by a removal or a crash."""
POLL_S = 0.2
LIMIT_S = 3600.0
"""The longest wait for another stack's upload."""


def stage(host: Host, image: StagedImage, files: Callable[[], ImageFiles], mark: Mark, transferred: Transferred) -> Outputs:
    """Make the image be whole at the site and note that the stack uses it."""
    volumes.mark(host, names.reference_marker(image.digest, mark))
    reach("libvirt.image.used")
    begun = time.monotonic()
    while not _whole(host, image):
        if _claimed(host, image, mark):
            try:
                if _uploaded(host, image, files(), transferred):
                    _finish(host, image, mark)
            except BaseException:
                _give_up(host, image, mark)
                raise
            reach("libvirt.image.complete")
        elif time.monotonic() - begun > LIMIT_S:
            raise _too_long(host, image)
    # Ours, from just now or from a run that died when it had made the image whole.
    volumes.remove(host, names.staging_marker(image.digest, mark))
    return outputs(host, image)


def outputs(host: Host, image: StagedImage) -> Outputs:
    """Paths of the image's parts at the site."""
    return tuple(sorted((part, host.path(name)) for part, name in names.image_volumes(image).items()))


def release(host: Host, image: StagedImage, mark: Mark) -> None:
    """Drop the stack's use of the image, and the image with its last user.

    The completion mark goes first and the users are counted again after it: a stack that begins to use the image meanwhile is
    either counted, or finds no completion mark and uploads.
    """
    volumes.remove(host, names.reference_marker(image.digest, mark))
    volumes.remove(host, names.staging_marker(image.digest, mark))
    found = volumes.listed(host)
    if names.references(found, image.digest):
        return
    complete = names.complete_marker(image.digest) in found
    volumes.remove(host, names.complete_marker(image.digest))
    reach("libvirt.image.incomplete")
    if names.references(volumes.listed(host), image.digest):
        if complete:
            volumes.mark(host, names.complete_marker(image.digest))
        return
    for name in names.image_volumes(image).values():
        volumes.remove(host, name)


def _whole(host: Host, image: StagedImage) -> bool:
    found = volumes.listed(host)
    complete = names.complete_marker(image.digest)
    if complete not in found:
        return False
    if found.issuperset(names.image_volumes(image).values()):
        return True
    volumes.remove(host, complete)  # Somebody removed a part by hand.
    return False


def _claimed(host: Host, image: StagedImage, mark: Mark) -> bool:
    """Whether the upload is ours to try now. Otherwise watches the other's for a while and says no: then all is looked at anew.

    A mark of our own that is there already is from a run that died: no other run of this stack is under way.
    """
    found = volumes.listed(host)
    ours = names.staging_marker(image.digest, mark)
    others = names.stagings(found, image.digest) - {ours}
    parts = found.intersection(names.image_volumes(image).values())
    if others or (parts and ours not in found):
        if _moves(host, image, STALLED_S if others else UNMARKED_S):
            return False
        for name in others:
            volumes.remove(host, name)
    volumes.mark(host, ours)
    found = volumes.listed(host)
    # Two that begin in the same moment see each other; the first by name goes on.
    if names.complete_marker(image.digest) in found or min(names.stagings(found, image.digest) | {ours}) != ours:
        volumes.remove(host, ours)
        return False
    for name in parts:
        volumes.remove(host, name)
    return True


def _moves(host: Host, image: StagedImage, limit_s: float) -> bool:
    """Whether anything happens to the image within ``limit_s``: a part grows, an upload ends or begins."""
    before = _progress(host, image)
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        time.sleep(POLL_S)
        if _progress(host, image) != before:
            return True
    return False


def _progress(host: Host, image: StagedImage) -> tuple[frozenset[str], int]:
    found = volumes.listed(host)
    parts = found.intersection(names.image_volumes(image).values())
    marks = names.stagings(found, image.digest) | (found & {names.complete_marker(image.digest)})
    return frozenset(parts | marks), sum(volumes.allocated_bytes(host, name) for name in parts)


def _uploaded(host: Host, image: StagedImage, files: ImageFiles, transferred: Transferred) -> bool:
    """Upload every part; False when another stack made one of them first (libvirt gives a name to exactly one)."""
    sources = _checked_sources(image, files)
    done, total = 0, image.transfer_bytes

    def sent(count: int) -> None:
        nonlocal done
        done += count
        transferred(done, total)

    transferred(0, total)
    for part, name in names.image_volumes(image).items():
        file, size = sources[part]
        volume = volumes.make(host, raw_xml(name, size, SHARED))
        if volume is None:
            return False
        reach("libvirt.image.part-made")
        volumes.fill(host, volume, file, sent)
        reach("libvirt.image.part-filled")
    return True


def _checked_sources(image: StagedImage, files: ImageFiles) -> dict[str, tuple[Path, int]]:
    """File and size by part."""
    found = {}
    for part in names.image_volumes(image):
        file: Path | None = getattr(files, part)
        blob: Blob = getattr(image, part)
        if file is None or file.stat().st_size != blob.size_bytes:
            raise SiteError(
                Problem(
                    summary="The image's file is not the image",
                    detail=f"The {part} of image {image.name} is missing or has another size than its digest stands for. "
                    "Remove it from the image store and apply again.",
                )
            )
        found[part] = (file, blob.size_bytes)
    return found


def _finish(host: Host, image: StagedImage, mark: Mark) -> None:
    """Say that the image is whole, unless another stack took the upload over because ours seemed dead."""
    if names.stagings(volumes.listed(host), image.digest) == {names.staging_marker(image.digest, mark)}:
        volumes.mark(host, names.complete_marker(image.digest))


def _give_up(host: Host, image: StagedImage, mark: Mark) -> None:
    """Leave nothing that another stack would wait for. What cannot be removed now is what a crash leaves."""
    with suppress(libvirt.libvirtError, SiteError):
        ours = names.staging_marker(image.digest, mark)
        if names.stagings(volumes.listed(host), image.digest) == {ours}:
            for name in names.image_volumes(image).values():
                volumes.remove(host, name)
        volumes.remove(host, ours)


def _too_long(host: Host, image: StagedImage) -> SiteError:
    return SiteError(
        Problem(
            summary="The site took too long",
            detail=f"Another stack has been uploading image {image.name} to site {host.site.name} for "
            f"{LIMIT_S / 60:g} minutes. Apply again when it is done.",
        )
    )
