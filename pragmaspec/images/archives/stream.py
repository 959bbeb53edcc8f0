"""A byte stream with lookahead, for content that is decompressed on the fly."""

from collections.abc import Iterator

from pragmaspec.images.formats.random_access import RandomAccessFile
from pragmaspec.images.store.blobs import ProgressCallback

READ_BYTES = 256 * 1024


class PeekableStream:
    """Chunks of bytes as one stream."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self._at = 0

    def peek(self, length: int) -> bytes:
        """Return the next ``length`` bytes without consuming them; fewer only at the end."""
        have = len(self._buffer) - self._at
        if have < length:
            parts = [self._buffer[self._at :]]
            while have < length and (chunk := next(self._chunks, None)) is not None:
                parts.append(chunk)
                have += len(chunk)
            self._buffer, self._at = b"".join(parts), 0
        return self._buffer[self._at : self._at + length]

    def read(self, length: int) -> bytes:
        """Return the next ``length`` bytes; fewer only at the end."""
        found = self.peek(length)
        self._at += len(found)
        return found

    def read_chunks(self, length: int) -> Iterator[bytes]:
        """Yield the next ``length`` bytes in chunks of any size; fewer only at the end."""
        while length:
            if self._at == len(self._buffer):
                self._buffer, self._at = next(self._chunks, b""), 0
                if not self._buffer:
                    return
            chunk = self._buffer[self._at : self._at + length]
            self._at += len(chunk)
            length -= len(chunk)
            yield chunk

    def rest(self) -> Iterator[bytes]:
        """Yield everything that is left."""
        buffer, self._buffer, self._at = self._buffer[self._at :], b"", 0
        if buffer:
            yield buffer
        yield from self._chunks


def file_chunks(file: RandomAccessFile, progress: ProgressCallback | None = None) -> Iterator[bytes]:
    """Yield ``file`` from beginning to end, at the length it had when it was opened."""
    at = 0
    while chunk := file.read_at(at, READ_BYTES):
        at += len(chunk)
        yield chunk
        if progress:
            progress(at, file.size)
