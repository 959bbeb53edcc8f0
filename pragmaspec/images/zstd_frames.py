"""Where the frames of zstd data begin and end, by their headers alone: so it is known whether the last one is whole.

Source: RFC 8878, sections 3.1.1 and 3.1.2.
"""

from collections.abc import Generator

_MAGIC, _SKIPPABLE, _SKIPPABLE_MASK = 0xFD2FB528, 0x184D2A50, 0xFFFFFFF0
_ID_BYTES, _SIZE_BYTES = (0, 1, 2, 4), (0, 2, 4, 8)
_SINGLE_SEGMENT, _CHECKSUM = 1 << 5, 1 << 2
_ENDLESS = 2**63
_MOST_EMPTY_BLOCKS = 1024
"""In one frame. No tool writes more than a few; a file of nothing else would be followed for minutes, and is never whole."""
_RUN = 1
"""The type of a block that is one byte many times."""


class Frames:
    """Follows zstd data piece by piece."""

    def __init__(self) -> None:
        self._begins = True
        self._held = b""
        self._skip = 0
        self._steps = self._walk()
        self._wanted = next(self._steps)

    @property
    def between(self) -> bool:
        """Whether a frame has just ended, and none has begun."""
        return self._begins and not self._skip and not self._held

    def follow(self, piece: bytes) -> None:
        """More data. What is no zstd is for the decoder to complain of."""
        at = 0
        while at < len(piece):
            if self._skip:
                passed = min(self._skip, len(piece) - at)
                self._skip -= passed
                at += passed
                continue
            taken = piece[at : at + self._wanted - len(self._held)]
            at += len(taken)
            self._held += taken
            if len(self._held) == self._wanted:
                held, self._held = self._held, b""
                self._wanted = self._steps.send(held)

    def _walk(self) -> Generator[int, bytes, None]:
        """Yields how many bytes it wants to see once those to skip have passed, and gets them."""
        while True:
            self._begins = True
            magic = int.from_bytes((yield 4), "little")
            self._begins = False
            if magic & _SKIPPABLE_MASK == _SKIPPABLE:
                self._skip = int.from_bytes((yield 4), "little")
            elif magic == _MAGIC:
                yield from self._frame()
            else:
                self._skip = _ENDLESS

    def _frame(self) -> Generator[int, bytes, None]:
        descriptor = (yield 1)[0]
        single = bool(descriptor & _SINGLE_SEGMENT)
        size = _SIZE_BYTES[descriptor >> 6] or int(single)
        self._skip = (0 if single else 1) + _ID_BYTES[descriptor & 3] + size
        last, empty = False, 0
        while not last:
            header = int.from_bytes((yield 3), "little")
            last = bool(header & 1)
            empty += header >> 3 == 0
            if empty > _MOST_EMPTY_BLOCKS:
                self._skip = _ENDLESS
                yield 1
            self._skip = 1 if header >> 1 & 3 == _RUN else header >> 3
        if descriptor & _CHECKSUM:
            self._skip += 4
