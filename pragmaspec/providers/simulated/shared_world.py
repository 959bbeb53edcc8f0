"""Worlds shared by threads and, with a file, by processes; one per site in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from pragmaspec.paths import state_home
from pragmaspec.providers.simulated.world import World
from pragmaspec.providers.simulated.world_file import WorldLog
from pragmaspec.site import SimulatedSite

MEMORY = ":memory:"
"""``file: ":memory:"``: the site exists only in this process."""


class SharedWorld:
    """One site's world behind a lock, which is never held while a call waits."""

    def __init__(self, log: WorldLog | None) -> None:
        self._lock = Lock()
        self._log = log
        self._memory = World()

    @contextmanager
    def reading(self) -> Iterator[World]:
        """The world, to read. Does not create the file."""
        with self._lock:
            if self._log is None:
                yield self._memory
                return
            with self._log.reading() as world:
                yield world

    @contextmanager
    def writing(self) -> Iterator[World]:
        """The world, to read and change."""
        with self._lock:
            if self._log is None:
                yield self._memory
                self._memory.changes.clear()
                return
            with self._log.locked() as world:
                yield world

    def close(self) -> None:
        """Close the file; the next access opens it again."""
        with self._lock:
            if self._log is not None:
                self._log.close()


_WORLDS: dict[tuple[str, Path | None], SharedWorld] = {}
_WORLDS_LOCK = Lock()


def shared_world(site: SimulatedSite) -> SharedWorld:
    """The world of ``site``: one per file, or per site in memory."""
    path = site_file(site)
    with _WORLDS_LOCK:
        return _WORLDS.setdefault(
            (site.name if path is None else "", path), SharedWorld(WorldLog(path, site.name) if path else None)
        )


def in_memory(site: SimulatedSite) -> bool:
    """True if the site exists only in this process. The path may have been made absolute."""
    return site.file is not None and Path(site.file).name == MEMORY


def site_file(site: SimulatedSite) -> Path | None:
    """The site's file; None: in memory.

    Without ``file`` it is ``$XDG_STATE_HOME/pragmaspec/simulated/<site>.jsonl`` (``~/.local/state`` when that is not set),
    so that ``apply`` in one process and ``plan`` in the next see the same site.
    """
    if in_memory(site):
        return None
    if site.file is not None:
        return Path(site.file).expanduser().absolute()
    return state_home() / "pragmaspec" / "simulated" / f"{site.name}.jsonl"
