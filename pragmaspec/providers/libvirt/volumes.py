"""Volumes of the site's pool, for local and remote daemons alike: listed, created, written and read by streams, removed.

Format of their XML: https://libvirt.org/formatstorage.html.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, SubElement

import libvirt

from pragmaspec.providers.libvirt.errors import code_of, ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.volumes_local import can_copy, copy_file
from pragmaspec.providers.libvirt.xml import parse, to_text

PRIVATE = "0600"
"""Mode of disks, seeds (private keys) and consoles: for the hypervisor only."""
SHARED = "0644"
"""Mode of staged images: only the daemon may write."""

CHUNK_BYTES = 2**20
"""Bytes per stream packet: far below libvirt's limit (VIR_NET_MESSAGE_MAX in its virnetprotocol.x), and a third faster than
the 256 KiB of its own tools; larger packets are slower again (``benchmarks/staging.py``)."""

REFRESH_LIMIT_S = 600.0
"""The longest wait for a refresh, which libvirt refuses while it creates or copies a volume."""
POLL_S = 0.05
MISSING_FILE = -1
"""The size of a listed volume whose file no longer exists."""

ByteCounter = Callable[[int], None]
"""Receives the number of further bytes that have been transferred."""


def overlay_xml(name: str, capacity_bytes: int, base: str, base_format: Literal["qcow2", "raw"]) -> str:
    """A qcow2 overlay on ``base``, whose format is declared rather than probed."""
    volume = _volume(name, capacity_bytes, "qcow2", PRIVATE)
    backing = SubElement(volume, "backingStore")
    SubElement(backing, "path").text = base
    SubElement(backing, "format", {"type": base_format})
    return to_text(volume)


def empty_xml(name: str, capacity_bytes: int) -> str:
    """An empty qcow2 disk that grows with its contents."""
    return to_text(_volume(name, capacity_bytes, "qcow2", PRIVATE))


def raw_xml(name: str, capacity_bytes: int, mode: str) -> str:
    """A sparse file of ``capacity_bytes`` zeros, the target of an upload."""
    return to_text(_volume(name, capacity_bytes, "raw", mode))


def _volume(name: str, capacity_bytes: int, kind: str, mode: str) -> Element:
    volume = Element("volume")
    SubElement(volume, "name").text = name
    SubElement(volume, "capacity", {"unit": "bytes"}).text = str(capacity_bytes)
    SubElement(volume, "allocation", {"unit": "bytes"}).text = "0"
    target = SubElement(volume, "target")
    SubElement(target, "format", {"type": kind})
    SubElement(SubElement(target, "permissions"), "mode").text = mode
    return volume


def list_names(host: Host) -> set[str]:
    """Names of all volumes, in one call."""
    return set(host.pool().listVolumes())


def create(host: Host, document: str) -> libvirt.virStorageVol | None:
    """Create a volume; None if one of that name exists. Atomic: exactly one of concurrent callers gets the new volume."""
    return _created(host, document, lambda: host.pool().createXML(document, 0))


def create_from(host: Host, document: str, source: libvirt.virStorageVol) -> libvirt.virStorageVol | None:
    """As :func:`create`, with the contents of the disk in ``source``, which the daemon copies. Takes as long as the copy."""
    return _created(host, document, lambda: host.pool().createXMLFrom(document, source, 0))


def _created(host: Host, document: str, call: Callable[[], libvirt.virStorageVol]) -> libvirt.virStorageVol | None:
    try:
        return call()
    except libvirt.libvirtError as error:
        if _exists(error):
            return None
        if not _unlisted(error):
            raise
        refresh(host)  # The file exists, but the pool does not list it yet.
        if parse(document).findtext("name", "") not in list_names(host):
            raise
        return None


def _exists(error: libvirt.libvirtError) -> bool:
    """True if the volume exists; the test driver has no error code of its own for this."""
    return code_of(error) == libvirt.VIR_ERR_STORAGE_VOL_EXIST or (
        code_of(error) == libvirt.VIR_ERR_OPERATION_FAILED and "already exists" in str(error)
    )


def _unlisted(error: libvirt.libvirtError) -> bool:
    """True if the file exists but is not listed; libvirt has no error code of its own for this."""
    return code_of(error) == libvirt.VIR_ERR_OPERATION_INVALID and "already exists" in str(error)


def find(host: Host, name: str) -> libvirt.virStorageVol | None:
    """The volume ``name``, or None."""
    with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return host.pool().storageVolLookupByName(name)
    return None


def refresh(host: Host, limit_s: float = REFRESH_LIMIT_S) -> None:
    """Refresh the pool, so that it lists files that other programs created, such as QEMU's log daemon when it rotates a log.

    libvirt refuses while a volume is being created, so the call is repeated for ``limit_s`` seconds.
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


def capacity_bytes(volume: libvirt.virStorageVol) -> int:
    """The capacity of a listed volume; 0 when it is gone."""
    with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return int(volume.info()[1])
    return 0


def grow(host: Host, volume: libvirt.virStorageVol, wanted_bytes: int) -> None:
    """Grow a volume that no running machine uses. Large enough: no effect."""
    if capacity_bytes(volume) < wanted_bytes and not host.connection.is_test_driver:
        # libvirt has qemu-img probe the format; our disks are qcow2 by their headers, which no guest can write to.
        volume.resize(wanted_bytes, 0)


def allocated_bytes(host: Host, name: str) -> int:
    """The current allocation of the volume; 0 when it is absent."""
    with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return int(host.pool().storageVolLookupByName(name).info()[2])
    return 0


def backing_path(volume: libvirt.virStorageVol) -> str:
    """The path of the file that backs a volume; empty when there is none, or the volume is gone."""
    with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return parse(volume.XMLDesc(0)).findtext("backingStore/path", "")
    return ""


def backing_volume(host: Host, volume: libvirt.virStorageVol) -> str:
    """The name of the pool's volume that backs ``volume``, or empty."""
    directory, _, name = backing_path(volume).rpartition("/")
    return name if directory == host.directory else ""


def remove(host: Host, name: str) -> None:
    """Remove the volume. Absent: no effect."""
    with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
        host.pool().storageVolLookupByName(name).delete(0)


def create_marker(host: Host, name: str) -> bool:
    """Create an empty marker volume. Return True if it is new."""
    return create(host, raw_xml(name, 0, SHARED)) is not None


def replace(host: Host, document: str) -> libvirt.virStorageVol:
    """Create a volume in place of any volume of its name."""
    while (volume := create(host, document)) is None:
        remove(host, parse(document).findtext("name", ""))
    return volume


def write_private(host: Host, name: str, content: bytes) -> None:
    """Create the volume with ``content``, readable only by the hypervisor, in place of any volume of that name."""
    volume = replace(host, raw_xml(name, len(content), PRIVATE))
    if not host.connection.is_test_driver:
        chunks = (content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES))
        _upload_chunks(host, volume, len(content), chunks)


def _upload_chunks(host: Host, volume: libvirt.virStorageVol, size: int, chunks: Iterable[bytes]) -> None:
    with _stream(host) as stream:
        volume.upload(stream, 0, size, 0)
        for chunk in chunks:
            stream.send(chunk)


def overwrite(host: Host, volume: libvirt.virStorageVol, file: Path) -> None:
    """Upload the local ``file``, holes as zeros, over the contents of ``volume``, which is not longer."""
    with file.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        _upload_chunks(host, volume, size, iter(lambda: source.read(CHUNK_BYTES), b""))


def fill(host: Host, volume: libvirt.virStorageVol, file: Path, count: ByteCounter) -> None:
    """Transfer the local ``file`` into ``volume``, which is new and has its size; holes stay holes.

    On this machine it is copied, where that is permitted: through the daemon the bytes would pass two sockets, a pipe and a
    helper process, at a fraction of the speed.
    """
    if host.connection.is_test_driver:
        count(file.stat().st_size)
        return
    target = Path(host.path(volume.name()))
    if host.is_local and can_copy(target, file.stat().st_size):
        copy_file(file, target, count)
        return
    upload(host, volume, file, count)


def upload(host: Host, volume: libvirt.virStorageVol, file: Path, count: ByteCounter) -> None:
    """As :func:`fill`, always through the storage API."""
    with _stream(host) as stream, file.open("rb", buffering=0) as source:
        size = os.fstat(source.fileno()).st_size
        volume.upload(stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
        at = 0
        while at < size:
            at = _send_hole(stream, source.fileno(), at, size, count)
            at = _send_data(stream, source.fileno(), at, size, count)


def _send_hole(stream: libvirt.virStream, source: int, at: int, size: int, count: ByteCounter) -> int:
    try:
        data = os.lseek(source, at, os.SEEK_DATA)
    except OSError:  # ENXIO: a hole up to the end
        data = size
    if data > at:
        stream.sendHole(data - at, 0)
        count(data - at)
    return data


def _send_data(stream: libvirt.virStream, source: int, at: int, size: int, count: ByteCounter) -> int:
    end = os.lseek(source, at, os.SEEK_HOLE) if at < size else size
    while at < end:
        chunk = os.pread(source, min(CHUNK_BYTES, end - at), at)
        stream.send(chunk)
        at += len(chunk)
        count(len(chunk))
    return at


def file_size(host: Host, name: str) -> int:
    """The size of the volume's file; 0 when it is absent."""
    volume = find(host, name)
    if volume is None or host.connection.is_test_driver:
        return 0
    return int(volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])


def listed_size(host: Host, volume: libvirt.virStorageVol) -> int | None:
    """The size of a listed volume's file; MISSING_FILE when it is gone, which a listing does not reveal.

    None with the test driver, which creates no files.
    """
    with ignoring(libvirt.VIR_ERR_NO_STORAGE_VOL):
        return None if host.connection.is_test_driver else int(volume.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2])
    return MISSING_FILE


def read_tail(host: Host, name: str, limit: int) -> bytes:
    """The last ``limit`` bytes of a volume; empty when it is absent."""
    size = file_size(host, name)
    start = max(0, size - limit)
    return read_range(host, name, start, size - start)


def read_range(host: Host, name: str, start: int, length: int) -> bytes:
    """``length`` bytes of a volume from offset ``start``, which must exist; empty when the volume is absent."""
    volume = find(host, name)
    if volume is None or length == 0 or host.connection.is_test_driver:
        return b""
    content = bytearray()
    with _stream(host) as stream:
        volume.download(stream, start, length, 0)
        while chunk := stream.recv(CHUNK_BYTES):
            content += chunk
    return bytes(content)


@contextmanager
def _stream(host: Host) -> Iterator[libvirt.virStream]:
    """A stream of the storage API, finished after the block, or aborted when it raises."""
    stream = host.handle().newStream(0)
    try:
        yield stream
        stream.finish()
    except BaseException:
        with suppress(libvirt.libvirtError):
            stream.abort()
        raise
