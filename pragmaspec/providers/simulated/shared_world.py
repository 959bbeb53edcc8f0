"""Worlds that many threads, and with a file many processes, take turns at; one for each site in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from pragmaspec.paths import state_home
from pragmaspec.providers.simulated.world import World
from pragmaspec.providers.simulated.world_file import WorldLog
from pragmaspec.site import SimulatedSite

MEMORY = ":memory:"
"""``file: ":memory:"``: the site lives and dies with the process."""


class SharedWorld:
    """One site's world. A turn is short: nobody sleeps in it."""

    def __init__(self, log: WorldLog | None) -> None:
        self._turn = Lock()
        self._log = log
        self._memory = World()

    @contextmanager
    def looking(self) -> Iterator[World]:
        """The world, to read: creates no file."""
        with self._turn:
            if self._log is None:
                yield self._memory
                return
            with self._log.locked(create=False) as world:
                yield world

    @contextmanager
    def changing(self) -> Iterator[World]:
        """The world, to change."""
        with self._turn:
            if self._log is None:
                yield self._memory
                self._memory.changes.clear()
                return
            with self._log.locked(create=True) as world:
                yield world

    def close(self) -> None:
        """Let go of the file; the next turn opens it again."""
        with self._turn:
            if self._log is not None:
                self._log.close()


_WORLDS: dict[tuple[str, Path | None], SharedWorld] = {}
_WORLDS_LOCK = Lock()


def shared_world(site: SimulatedSite) -> SharedWorld:
    """The world of ``site``: the same for everybody in this process who names the same file, or the same site in memory."""
    path = site_file(site)
    with _WORLDS_LOCK:
        return _WORLDS.setdefault(
            (site.name if path is None else "", path), SharedWorld(WorldLog(path, site.name) if path else None)
        )


def in_memory(site: SimulatedSite) -> bool:
    """Whether the site lives and dies with the process. Who made the path absolute has not changed what was meant."""
    return site.file is not None and Path(site.file).name == MEMORY


def site_file(site: SimulatedSite) -> Path | None:
    """Where the site lives between processes; None: in memory.

    Without ``file`` it is ``$XDG_STATE_HOME/pragmaspec/simulated/<site>.jsonl`` (``~/.local/state`` when that is not set),
    so that ``apply`` in one process and ``plan`` in the next see the same site.
    """
    if in_memory(site):
        return None
    if site.file is not None:
        return Path(site.file).expanduser().absolute()
    return state_home() / "pragmaspec" / "simulated" / f"{site.name}.jsonl"
