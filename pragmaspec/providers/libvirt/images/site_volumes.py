"""Volumes that others have put into the pool, used as images: found by name, copied once, never written to.

Nodes boot from a copy, because a change of the original would corrupt every overlay on it. The copy is a raw volume, whose size
is known in advance. The id of a volume consists of its name, its size and its modification time, so that a volume that was
replaced or written to is another image.
"""

from pragmaspec.errors import ImageError, Problem, SiteError
from pragmaspec.failpoints import reach
from pragmaspec.images.firmware.detect import boot_support
from pragmaspec.images.formats.inspect import inspect
from pragmaspec.images.formats.qcow2_reader import guest_view
from pragmaspec.images.formats.random_access import RandomAccess
from pragmaspec.planning.images.site_images import choose_site_image
from pragmaspec.planning.observed import SiteImage
from pragmaspec.planning.wanted import Firmware
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.volumes import SHARED, raw_xml
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import StagedImage
from pragmaspec.typing import override

_BLOCK_BYTES = 2**18


class VolumeBytes(RandomAccess):
    """Random access to the file of a volume, in blocks, because every read is a stream of its own."""

    def __init__(self, host: Host, name: str) -> None:
        self._host, self._name = host, name
        self._size = volumes.file_size(host, name)
        self._blocks: dict[int, bytes] = {}

    @property
    @override
    def size(self) -> int:
        return self._size

    @override
    def read_at(self, offset: int, length: int) -> bytes:
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        first, last = offset // _BLOCK_BYTES, (end - 1) // _BLOCK_BYTES
        content = b"".join(map(self._block, range(first, last + 1)))
        return content[offset - first * _BLOCK_BYTES : end - first * _BLOCK_BYTES]

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            at = number * _BLOCK_BYTES
            self._blocks[number] = volumes.read_range(self._host, self._name, at, min(_BLOCK_BYTES, self._size - at))
        return self._blocks[number]


def resolve_volume(host: Host, name: str) -> SiteImage:
    """Return the volume called ``name`` as an image. Raises SiteError if there is none, or if nodes cannot boot from it."""
    if name not in volumes.list_names(host):
        volumes.refresh(host)  # A file that was copied into the directory is not listed yet.
    foreign = [each for each in volumes.list_names(host) if _is_foreign(each)]
    candidates = [SiteImage(id=each, name=each, virtual_size_bytes=0) for each in foreign]
    choose_site_image(name, candidates, f"{host.site.name} (pool {host.site.pool})")
    found = _described(host, name, _boot_firmware(host, name))
    if found is None:
        raise SiteError("No such image at the site", f"Volume {name} of site {host.site.name} was removed meanwhile. Try again.")
    return found


def find_volume(host: Host, image_id: str) -> SiteImage | None:
    """Return the volume with this id, or None."""
    found = _described(host, image_id.rsplit(":", 2)[0], None)
    return found if found is not None and found.id == image_id else None


def copy_volume(host: Host, image: StagedImage) -> bool:
    """Copy the volume that ``image`` was pinned to, by the daemon. False when another stack has created the copy first.

    Raises SiteError when the volume is gone or has changed, also while it is copied.
    """
    name = names.image_volumes(image)["disk"]
    source = volumes.find(host, image.site_name)
    if source is None or find_volume(host, image.site_image) is None:
        raise _changed(host, image)
    if volumes.create_from(host, raw_xml(name, image.virtual_size_bytes, SHARED), source) is None:
        return False
    reach("libvirt.image.volume-copied")
    if find_volume(host, image.site_image) is None:
        raise _changed(host, image)
    return True


def _is_foreign(name: str) -> bool:
    return not (names.is_marker(name) or names.is_image_part(name) or names.parse_node_volume(name))


def _described(host: Host, name: str, firmware: Firmware | None) -> SiteImage | None:
    volume = volumes.find(host, name)
    if volume is None:
        return None
    root = parse(volume.XMLDesc(0))  # libvirt reads the file's metadata anew for this.
    capacity = int(root.findtext("capacity", "0"))
    mtime = root.findtext("target/timestamps/mtime", "0")
    return SiteImage(
        id=f"{name}:{volumes.file_size(host, name)}:{mtime}",
        name=name,
        virtual_size_bytes=capacity,
        created=_date(mtime),
        copy_bytes=capacity,
        firmware=firmware,
    )


def _date(mtime: str) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 - needed for new pins only

    seconds = float(mtime)
    return datetime.fromtimestamp(seconds, UTC).date().isoformat() if seconds else ""


def _boot_firmware(host: Host, name: str) -> Firmware | None:
    """Return the firmware that boots the volume; None with the test driver, whose volumes have no bytes."""
    if host.connection.is_test_driver:
        return None
    content = VolumeBytes(host, name)
    try:
        inspect(content, None)
    except ImageError as error:
        raise SiteError.of(_unusable(host, name, problem.detail) for problem in error.problems) from None
    support = boot_support(guest_view(content))
    if support.unbootable:
        raise SiteError.of([_unusable(host, name, f"It has {support.unbootable}.")])
    return support.default


def _unusable(host: Host, name: str, reason: str) -> Problem:
    return Problem(
        summary="Volume cannot be used as an image",
        detail=f"Volume {name} of site {host.site.name}, pool {host.site.pool}: {reason} Use a qcow2 without backing file, or a "
        "raw disk, that has a boot loader.",
    )


def _changed(host: Host, image: StagedImage) -> SiteError:
    return SiteError(
        "The image is not at the site",
        f"Volume {image.site_name} of site {host.site.name}, pool {host.site.pool}, was removed or written to since it was "
        f"pinned as {image.site_image}. `pragmaspec lock --upgrade {image.name}` pins it as it is now.",
    )
