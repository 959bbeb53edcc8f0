"""Remove compression and archives around a disk, layer by layer, without intermediate files."""

from collections.abc import Iterator
from pathlib import Path

from pragmaspec.images.archives.decompress import decompressed
from pragmaspec.images.archives.members import OtherMemberError
from pragmaspec.images.archives.stream import PeekableStream, file_chunks
from pragmaspec.images.archives.tar import disk_in_tar
from pragmaspec.images.formats.detect import FileFormat, ambiguity, detect_formats
from pragmaspec.images.formats.inspect import image_refused
from pragmaspec.images.formats.random_access import HEAD_BYTES, RandomAccessFile, open_regular, read_tail
from pragmaspec.images.store.blobs import ProgressCallback

MAX_LAYERS = 3
"""``disk.tar.gz`` has two."""
_ARCHIVES = frozenset({"tar", "zip"})
MIN_LIMIT_BYTES = 64 * 2**30
MAX_RATIO = 1000
"""The best that gzip can do; xz and zstd compress a disk of zeros further, which is accepted up to ``MIN_LIMIT_BYTES``."""


def unwrap(
    file: RandomAccessFile, progress: ProgressCallback | None = None, member: str = ""
) -> tuple[PeekableStream, tuple[str, ...]]:
    """Return the content of a file without its layers of compression and archives, and the layers, the outermost first.

    ``progress`` counts bytes read of the file; ``member``: path of the disk in the archive, empty to select it. Raises ImageError
    here, or later while the stream is read: for damage, for archives without exactly one disk, for more than three layers;
    OtherMemberError if the end of an archive shows that another member is the disk.
    """
    try:
        return _unwrap(PeekableStream(file_chunks(file, progress)), read_tail(file), file, member)
    except OtherMemberError as other:
        return _unwrap(PeekableStream(file_chunks(file, progress)), read_tail(file), file, other.member)


def unwrap_stream(stream: PeekableStream, member: str = "") -> tuple[PeekableStream, tuple[str, ...]]:
    """Return the same as :func:`unwrap` for a file that is read once, while its end is unknown (see :func:`detect_layers`).

    A zip archive is left as it is, because its directory is at its end.
    """
    return _unwrap(stream, b"", None, member)


def detect_layers(file: RandomAccessFile, member: str = "") -> tuple[str, ...]:
    """Return the layers around the disk in a file, the outermost first. Raises ImageError if its format is ambiguous."""
    return unwrap(file, member=member)[1]


def detect_disk_format(file: Path, declared: str | None, member: str = "") -> tuple[tuple[str, ...], str]:
    """Return the layers around the disk in ``file``, the outermost first, and the format of the disk. Raises ImageError."""
    with open_regular(file) as opened:
        stream, layers = unwrap(opened, member=member)
        formats = detect_formats(stream.peek(HEAD_BYTES), b"" if layers else read_tail(opened))
    disks = [each for each in formats if each.family == "disk"]
    return layers, declared or (disks[0].name if disks else "raw")


def max_unpacked_bytes(packed_bytes: int, max_virtual: int) -> int:
    """Return how many bytes a packed file of this size may expand to."""
    return min(max_virtual, max(MIN_LIMIT_BYTES, MAX_RATIO * packed_bytes))


def limit_bytes(chunks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield the chunks. Raises ImageError beyond ``max_bytes``."""
    done = 0
    for chunk in chunks:
        done += len(chunk)
        if done > max_bytes:
            raise image_refused([f"it expands to more than {max_bytes // 2**30} GiB, which is not plausible for its size"])
        yield chunk


def _unwrap(
    stream: PeekableStream, end: bytes, file: RandomAccessFile | None, member: str
) -> tuple[PeekableStream, tuple[str, ...]]:
    layers: list[str] = []
    while layer := _layer(stream, b"" if layers else end):
        if layer.name == "zip" and file is None and not layers:
            break
        if len(layers) == MAX_LAYERS:
            raise image_refused([f"it is packed more than {MAX_LAYERS} times: {', '.join(layers)}, and then {layer.name}"])
        inner = _content(layer, stream, None if layers else file, "" if _ARCHIVES.intersection(layers) else member)
        stream = PeekableStream(inner)
        layers.append(layer.name)
    if member and not _ARCHIVES.intersection(layers) and not (layer and layer.name in _ARCHIVES):
        raise image_refused([f"`member` names {member!r}, but the file is not an archive"])
    return stream, tuple(layers)


def _layer(stream: PeekableStream, end: bytes) -> FileFormat | None:
    """Return the outermost compression or archive of the stream, if any."""
    found = detect_formats(stream.peek(HEAD_BYTES), end)
    packed = [each for each in found if each.family == "packed"]
    if packed and len(found) > 1:
        raise image_refused([ambiguity(found)])
    return packed[0] if packed else None


def _content(layer: FileFormat, stream: PeekableStream, file: RandomAccessFile | None, member: str) -> Iterator[bytes]:
    """Yield the content of a layer. ``file``: the file whose bytes ``stream`` has, if any."""
    if layer.name == "tar":
        return disk_in_tar(stream, member)
    if layer.name != "zip":
        return decompressed(layer.name, stream.rest())
    if file is None:
        raise image_refused(["it is a zip archive inside another layer; unpack the outer one"])
    from pragmaspec.images.archives.zip import disk_in_zip  # noqa: PLC0415 - few images are zip archives

    return disk_in_zip(file, member)
