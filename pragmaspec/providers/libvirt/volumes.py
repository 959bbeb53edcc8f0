"""Volumes of the site's pool: listed, made, filled and read by streams, removed. Works the same for local and remote daemons.

The XML of storage volumes. Pure. Format: https://libvirt.org/formatstorage.html.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, SubElement

import libvirt

from pragmaspec.providers.libvirt.errors import absent_is_fine, code_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.volumes_local import can_copy, copy
from pragmaspec.providers.libvirt.xml import parsed, text

PRIVATE = "0600"
"""Only the hypervisor: disks, seeds (private keys) and consoles."""
SHARED = "0644"
"""Staged images: nobody but the daemon writes them."""


def overlay_xml(name: str, capacity_bytes: int, base: str, base_format: Literal["qcow2", "raw"]) -> str:
    """A qcow2 overlay on ``base``, whose format is said, not probed."""
    volume = _volume(name, capacity_bytes, "qcow2", PRIVATE)
    backing = SubElement(volume, "backingStore")
    SubElement(backing, "path").text = base
    SubElement(backing, "format", {"type": base_format})
    return text(volume)


def raw_xml(name: str, capacity_bytes: int, mode: str) -> str:
    """A sparse file of ``capacity_bytes`` zeros, to be filled by an upload."""
    return text(_volume(name, capacity_bytes, "raw", mode))


def _volume(name: str, capacity_bytes: int, kind: str, mode: str) -> Element:
    volume = Element("volume")
    SubElement(volume, "name").text = name
    SubElement(volume, "capacity", {"unit": "bytes"}).text = str(capacity_bytes)
    SubElement(volume, "allocation", {"unit": "bytes"}).text = "0"
    target = SubElement(volume, "target")
    SubElement(target, "format", {"type": kind})
    SubElement(SubElement(target, "permissions"), "mode").text = mode
    return volume


CHUNK_BYTES = 2**20
"""What goes into one packet of a stream: far below libvirt's limit (VIR_NET_MESSAGE_MAX in its virnetprotocol.x), and a third
faster than the 256 KiB of its own tools; larger ones are slower again (``benchmarks/staging.py``)."""

REREAD_LIMIT_S = 30.0
POLL_S = 0.05
ABSENT = -1
"""Stands for the length of a file that is gone."""

Sent = Callable[[int], None]
"""Told how many more bytes have been dealt with."""


def listed(host: Host) -> set[str]:
    """Names of all volumes, in one call."""
    return set(host.pool().listVolumes())


def make(host: Host, document: str) -> libvirt.virStorageVol | None:
    """A new volume, or None when one of that name is there already: the site decides who was first."""
    try:
        return host.pool().createXML(document, 0)
    except libvirt.libvirtError as error:
        if _exists(error):
            return None
        if not _unlisted(error):
            raise
        reread(host)  # The file is there, and the pool has not seen it come.
        if parsed(document).findtext("name", "") not in listed(host):
            raise
        return None


def _exists(error: libvirt.libvirtError) -> bool:
    """The test driver has no code of its own for it."""
    return code_of(error) == libvirt.VIR_ERR_STORAGE_VOL_EXIST or (
        code_of(error) == libvirt.VIR_ERR_OPERATION_FAILED and "already exists" in str(error)
    )


def _unlisted(error: libvirt.libvirtError) -> bool:
    """The error for a file that the pool does not list has no code of its own."""
    return code_of(error) == libvirt.VIR_ERR_OPERATION_INVALID and "already exists" in str(error)


def find(host: Host, name: str) -> libvirt.virStorageVol | None:
    """The volume called ``name``, or None."""
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return host.pool().storageVolLookupByName(name)
    return None


def reread(host: Host, limit_s: float = REREAD_LIMIT_S) -> None:
    """Have the pool list files that others put into its directory, such as QEMU's log daemon when a log grows long.

    libvirt refuses while a volume is being made, so it is asked again for ``limit_s`` seconds.
    """
    until = time.monotonic() + limit_s
    while True:
        try:
            host.pool().refresh(0)
        except libvirt.libvirtError as error:
            if "asynchronous jobs" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(POLL_S)
        else:
            return


def allocated_bytes(host: Host, name: str) -> int:
    """What the volume takes up by now; 0 when it is absent."""
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return int(host.pool().storageVolLookupByName(name).info()[2])
    return 0


def remove(host: Host, name: str) -> None:
    """Remove the volume; absent: nothing to do."""
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        host.pool().storageVolLookupByName(name).delete(0)


def mark(host: Host, name: str) -> bool:
    """Make an empty volume whose name is all it says; whether it is new."""
    return make(host, raw_xml(name, 0, SHARED)) is not None


def put(host: Host, name: str, content: bytes) -> None:
    """Make the volume hold exactly ``content``, readable by the hypervisor alone, whatever was there under that name."""
    document = raw_xml(name, len(content), PRIVATE)
    volume = make(host, document)
    while volume is None:
        remove(host, name)
        volume = make(host, document)
    if not host.connection.is_pretended:
        pieces = (content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES))
        _send_pieces(host, volume, len(content), pieces)


def _send_pieces(host: Host, volume: libvirt.virStorageVol, size: int, pieces: Iterable[bytes]) -> None:
    stream = host.handle().newStream(0)
    try:
        volume.upload(stream, 0, size, 0)
        for piece in pieces:
            stream.send(piece)
        stream.finish()
    except BaseException:
        _abort(stream)
        raise


def overwrite(host: Host, volume: libvirt.virStorageVol, file: Path) -> None:
    """Send the local ``file``, holes too, over what is in ``volume``, which is not longer."""
    with file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        _send_pieces(host, volume, size, iter(lambda: source.read(CHUNK_BYTES), b""))


def fill(host: Host, volume: libvirt.virStorageVol, file: Path, sent: Sent) -> None:
    """Bring the local ``file`` into ``volume``, which is new and has its size; holes stay holes.

    On this very machine it is copied, where that is allowed: by the daemon the bytes would go through two sockets, a pipe and a
    helper process, at a fraction of the speed.
    """
    if host.connection.is_pretended:
        sent(file.stat().st_size)
        return
    target = Path(host.path(volume.name()))
    if host.is_here and can_copy(target, file.stat().st_size):
        copy(file, target, sent)
        return
    send(host, volume, file, sent)


def send(host: Host, volume: libvirt.virStorageVol, file: Path, sent: Sent) -> None:
    """The same through the storage API, whatever the host is."""
    stream = host.handle().newStream(0)
    try:
        with file.open("rb", buffering=0) as source:
            size = os.fstat(source.fileno()).st_size
            volume.upload(stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
            at = 0
            while at < size:
                at = _send_hole(stream, source.fileno(), at, size, sent)
                at = _send_data(stream, source.fileno(), at, size, sent)
        stream.finish()
    except BaseException:
        _abort(stream)
        raise


def _send_hole(stream: libvirt.virStream, source: int, at: int, size: int, sent: Sent) -> int:
    try:
        data = os.lseek(source, at, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole up to the end
        data = size
    if data > at:
        stream.sendHole(data - at, 0)
        sent(data - at)
    return data


def _send_data(stream: libvirt.virStream, source: int, at: int, size: int, sent: Sent) -> int:
    end = os.lseek(source, at, os.SEEK_HOLE) if at < size else size
    while at < end:
        chunk = os.pread(source, min(CHUNK_BYTES, end - at), at)
        stream.send(chunk)
        at += len(chunk)
        sent(len(chunk))
    return at


def size_bytes(host: Host, name: str) -> int:
    """The length of the volume's file; 0 when it is absent."""
    volume = find(host, name)
    if volume is None or host.connection.is_pretended:
        return 0
    return int(volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])


def present_bytes(host: Host, volume: libvirt.virStorageVol) -> int | None:
    """The length of a listed volume's file, ABSENT when it is gone: libvirt looks at it only when it is asked for details.

    None at the test driver, which makes no files.
    """
    with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return None if host.connection.is_pretended else int(volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])
    return ABSENT


def tail(host: Host, name: str, most: int) -> bytes:
    """The last ``most`` bytes of a volume; empty when it is absent."""
    size = size_bytes(host, name)
    start = max(0, size - most)
    return piece(host, name, start, size - start)


def piece(host: Host, name: str, start: int, count: int) -> bytes:
    """``count`` bytes of a volume from ``start`` on, which it must have; empty when it is absent."""
    volume = find(host, name)
    if volume is None or count == 0 or host.connection.is_pretended:
        return b""
    stream = host.handle().newStream(0)
    found = bytearray()
    try:
        volume.download(stream, start, count, 0)
        while chunk := stream.recv(CHUNK_BYTES):
            found += chunk
        stream.finish()
    except BaseException:
        _abort(stream)
        raise
    return bytes(found)


def _abort(stream: libvirt.virStream) -> None:
    with suppress(libvirt.libvirtError):
        stream.abort()
