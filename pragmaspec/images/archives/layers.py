"""What is around a disk: compression and archives, taken off one after another without a file in between."""

from collections.abc import Iterator
from pathlib import Path

from pragmaspec.images.archives.decompress import decompressed
from pragmaspec.images.archives.members import OtherMemberError
from pragmaspec.images.archives.stream import PeekableStream, file_chunks
from pragmaspec.images.archives.tar import disk_in_tar
from pragmaspec.images.formats.detect import FileFormat, detect_formats
from pragmaspec.images.formats.inspect import image_refused
from pragmaspec.images.formats.random_access import HEAD_BYTES, TAIL_BYTES, RandomAccessFile, open_regular
from pragmaspec.images.store.blobs import ProgressCallback

MAX_LAYERS = 3
"""``disk.tar.gz`` has two; nobody needs more than three."""
_ARCHIVES = frozenset({"tar", "zip"})
MIN_LIMIT_BYTES = 64 * 2**30
MAX_RATIO = 1000
"""gzip cannot do better; a disk of zeros that was packed by xz or zstd may, and is taken up to the limit above."""


def unwrap(
    window: RandomAccessFile, counted: ProgressCallback | None = None, member: str = ""
) -> tuple[PeekableStream, tuple[str, ...]]:
    """What is in a file when every compression and archive around it is taken off, and what those were, the outermost first.

    ``counted`` is told how much of the file was read; ``member``: which file of the archive is the disk, empty where that is
    found. Raises ImageError here, or later while the stream is read: for damage, for archives without one disk, for more than
    three layers; OtherMemberError when the end of an archive says that another file of it is the disk.
    """
    tail = window.at(max(0, window.size - TAIL_BYTES), TAIL_BYTES)
    try:
        return _peeled(PeekableStream(file_chunks(window, counted)), tail, window, member)
    except OtherMemberError as other:
        return _peeled(PeekableStream(file_chunks(window, counted)), tail, window, other.member)


def unwrap_stream(stream: PeekableStream, member: str = "") -> tuple[PeekableStream, tuple[str, ...]]:
    """The same of a file that is read once, as it comes: nothing is known of its end yet (see :func:`detect_layers`).

    A zip archive stays as it is: what is in it stands at its end.
    """
    return _peeled(stream, b"", None, member)


def detect_layers(window: RandomAccessFile, member: str = "") -> tuple[str, ...]:
    """What is around the disk in a file, the outermost first. Raises ImageError when it is two things at once."""
    return unwrap(window, member=member)[1]


def detect_disk_format(file: Path, declared: str | None, member: str = "") -> tuple[tuple[str, ...], str]:
    """What is around the disk in ``file``, the outermost first, and the format of the disk itself. Raises ImageError."""
    with open_regular(file) as window:
        stream, layers = unwrap(window, member=member)
        tail = b"" if layers else window.at(max(0, window.size - TAIL_BYTES), TAIL_BYTES)
        kinds = [kind for kind in detect_formats(stream.peek(HEAD_BYTES), tail) if kind.family == "disk"]
    return layers, declared or (kinds[0].name if kinds else "raw")


def max_unpacked_bytes(packed_bytes: int, most_virtual: int) -> int:
    """How many bytes may come out of a packed file of this size."""
    return min(most_virtual, max(MIN_LIMIT_BYTES, MAX_RATIO * packed_bytes))


def limit_bytes(pieces: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    """The pieces. Raises ImageError as soon as they are more than ``most_bytes``."""
    done = 0
    for piece in pieces:
        done += len(piece)
        if done > most_bytes:
            raise image_refused([f"it unpacks to more than {most_bytes // 2**30} GiB, which no disk of its size does"])
        yield piece


def _peeled(
    stream: PeekableStream, tail: bytes, window: RandomAccessFile | None, member: str
) -> tuple[PeekableStream, tuple[str, ...]]:
    layers: list[str] = []
    while packing := _packing(stream, b"" if layers else tail):
        if packing.name == "zip" and window is None and not layers:
            break
        if len(layers) == MAX_LAYERS:
            raise image_refused([f"it is packed more than {MAX_LAYERS} times: {', '.join(layers)}, and then {packing.name}"])
        stream = PeekableStream(
            _inside(packing, stream, None if layers else window, "" if _ARCHIVES.intersection(layers) else member)
        )
        layers.append(packing.name)
    if member and not _ARCHIVES.intersection(layers) and not (packing and packing.name in _ARCHIVES):
        raise image_refused([f"`member` names {member!r}, and there is no archive to look for it in"])
    return stream, tuple(layers)


def _packing(stream: PeekableStream, tail: bytes) -> FileFormat | None:
    """The compression or archive that the stream is, if it is one."""
    found = detect_formats(stream.peek(HEAD_BYTES), tail)
    packed = [kind for kind in found if kind.family == "packed"]
    if packed and len(found) > 1:
        raise image_refused(
            [f"it can be read as {' and as '.join(kind.words for kind in found)}, and one file must not be two things"]
        )
    return packed[0] if packed else None


def _inside(packing: FileFormat, stream: PeekableStream, window: RandomAccessFile | None, member: str) -> Iterator[bytes]:
    """``window``: the file whose bytes ``stream`` has, when it is one."""
    if packing.name == "tar":
        return disk_in_tar(stream, member)
    if packing.name != "zip":
        return decompressed(packing.name, stream.rest())
    if window is None:
        raise image_refused(["it is a zip archive inside of something else; unpack the outer one"])
    return disk_in_zip_of(window, member)


def disk_in_zip_of(window: RandomAccessFile, member: str) -> Iterator[bytes]:
    """See :func:`pragmaspec.images.archives.zip.disk_in_zip`; loaded for zip archives only."""
    from pragmaspec.images.archives.zip import disk_in_zip  # noqa: PLC0415 - few images are zip archives

    return disk_in_zip(window, member)
