"""A stream cut into files, as ``split -a 2`` names them: ``.aa``, ``.ab``, and so on."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from pragmaspec.errors import ImageError, Problem

_LETTERS = 26
_CHUNK_BYTES = 2**20


class Volumes:
    """Files ``<stem>.aa`` and on of at most ``most_bytes`` each; one file ``stem`` when that is 0."""

    def __init__(self, stem: Path, most_bytes: int) -> None:
        self._stem = stem
        self._most = most_bytes

    def take(self, process: "subprocess.Popen[bytes]", counted: Callable[[int], None]) -> None:
        """All that ``process`` writes. Raises ImageError when there are more files than two letters name."""
        if process.stdout is None:
            raise RuntimeError("the program was started with a pipe")
        done, number = 0, 0
        with process.stdout as source:
            piece = source.read(self._chunk(0))
            while piece or number == 0:
                with self._path(number).open("xb") as file:
                    written = 0
                    while piece:
                        file.write(piece)
                        written += len(piece)
                        done += len(piece)
                        counted(done)
                        if self._most and written == self._most:
                            break
                        piece = source.read(self._chunk(written))
                number += 1
                piece = source.read(self._chunk(0)) if piece else b""

    def _chunk(self, written: int) -> int:
        return min(_CHUNK_BYTES, self._most - written) if self._most else _CHUNK_BYTES

    def _path(self, number: int) -> Path:
        if not self._most:
            return self._stem
        first, second = divmod(number, _LETTERS)
        if first >= _LETTERS:
            detail = f"{self._stem.name} has more than {_LETTERS**2} volumes. Make them larger."
            raise ImageError(Problem(summary="Too many volumes", detail=detail))
        return self._stem.with_name(f"{self._stem.name}.{chr(97 + first)}{chr(97 + second)}")
