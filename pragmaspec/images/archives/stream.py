"""A stream of bytes with a look ahead: what is in a file that is being unpacked, without the file."""

from collections.abc import Callable, Iterator

from pragmaspec.images.formats.random_access import RandomAccessFile

READ_BYTES = 256 * 1024


class PeekableStream:
    """Pieces of bytes, to be looked at and then taken in whatever lengths the taker likes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._at = 0

    def peek(self, length: int) -> bytes:
        """The next ``length`` bytes, which stay; fewer only at the end."""
        have = len(self._held) - self._at
        if have < length:
            held = [self._held[self._at :]]
            while have < length and (piece := next(self._pieces, None)) is not None:
                held.append(piece)
                have += len(piece)
            self._held, self._at = b"".join(held), 0
        return self._held[self._at : self._at + length]

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes; fewer only at the end."""
        taken = self.peek(length)
        self._at += len(taken)
        return taken

    def upto(self, length: int) -> Iterator[bytes]:
        """The next ``length`` bytes in pieces as they come; fewer only at the end."""
        while length:
            if self._at == len(self._held):
                self._held, self._at = next(self._pieces, b""), 0
                if not self._held:
                    return
            piece = self._held[self._at : self._at + length]
            self._at += len(piece)
            length -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Everything that is left."""
        held, self._held, self._at = self._held[self._at :], b"", 0
        if held:
            yield held
        yield from self._pieces


def file_chunks(window: RandomAccessFile, counted: Callable[[int, int], None] | None = None) -> Iterator[bytes]:
    """A file from beginning to end, at the length it had when it was opened; ``counted`` is told bytes read and in all."""
    at = 0
    while piece := window.at(at, READ_BYTES):
        at += len(piece)
        yield piece
        if counted:
            counted(at, window.size)
