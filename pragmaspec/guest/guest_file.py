"""A file of a guest."""

from pragmaspec.frozen import Frozen
from pragmaspec.typing import override

ALL_READ = 0o644
ROOT_ONLY = 0o600
EXECUTABLE = 0o755


class GuestFile(Frozen, frozen=True):
    """A guest file owned by root: absolute ``path``, permission bits, and text (UTF-8)."""

    path: str
    mode: int
    content: str

    @override
    def __repr__(self) -> str:
        return f"GuestFile({self.path!r}, mode={self.mode:#o}, {len(self.content)} characters)"

    @override
    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("path", self.path), ("mode", oct(self.mode)), ("characters", len(self.content))]
