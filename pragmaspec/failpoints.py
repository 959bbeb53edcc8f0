"""Places where a test lets a run die or fail, by name; free when none is armed.

``PRAGMASPEC_FAILPOINT=<name>:<n>:<what>`` arms one: at the ``n``-th time (1-based) that ``name`` is reached, in whatever thread,

* ``kill``    the process sends itself SIGKILL, which nothing can catch;
* ``eio``, ``enospc``    an OSError is raised, as from a disk that is broken or full;
* ``sleep``   it stops for an hour, for whoever wants to look at or kill a process that stands exactly there.
"""

import os

_SLEEP_S = 3600.0
_WHAT = ("kill", "eio", "enospc", "sleep")


class _Armed:
    """The one failpoint that does something."""

    def __init__(self, text: str) -> None:
        from threading import Lock  # noqa: PLC0415 - nobody pays for it who arms nothing

        self.name, nth, self.what = text.split(":")
        self._left = int(nth)
        self._counting = Lock()
        if self.what not in _WHAT:
            raise ValueError(text)

    def due(self) -> bool:
        with self._counting:
            self._left -= 1
            return self._left == 0


_armed: _Armed | None = None


def arm(text: str) -> None:
    """Arm ``<name>:<n>:<what>`` in place of what was armed; empty: nothing. Raises ValueError for anything else."""
    global _armed  # noqa: PLW0603 - one switch for the whole process is the point
    _armed = _Armed(text) if text else None


def reach(name: str) -> None:
    """Say that ``name`` is reached. Raises OSError, ends the process or sleeps when that was asked for."""
    if _armed is None or _armed.name != name or not _armed.due():
        return
    _happen(name, _armed.what)


def _happen(name: str, what: str) -> None:
    import errno  # noqa: PLC0415 - as above
    import signal  # noqa: PLC0415
    import time  # noqa: PLC0415

    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "sleep":
        time.sleep(_SLEEP_S)
    else:
        number = errno.EIO if what == "eio" else errno.ENOSPC
        raise OSError(number, os.strerror(number), f"failpoint {name}")


arm(os.environ.get("PRAGMASPEC_FAILPOINT", ""))
