"""Named points where a test makes a run fail; without cost when none is armed.

``PRAGMASPEC_FAILPOINT=<name>:<n>:<action>`` arms one: the ``n``-th time (1-based) that any thread reaches ``name``,

* ``kill``    the process sends itself SIGKILL, which cannot be caught;
* ``eio``, ``enospc``    an OSError is raised, as by a broken or full disk;
* ``sleep``   the thread stops for an hour, so that the process can be inspected or killed at exactly this point.
"""

import os

_SLEEP_S = 3600.0
_ACTIONS = ("kill", "eio", "enospc", "sleep")


class _Failpoint:
    """The armed failpoint."""

    def __init__(self, text: str) -> None:
        from threading import Lock  # noqa: PLC0415 - needed only if a failpoint is armed

        self.name, nth, self.action = text.split(":")
        self._remaining = int(nth)
        self._lock = Lock()
        if self.action not in _ACTIONS:
            raise ValueError(text)

    def is_due(self) -> bool:
        with self._lock:
            self._remaining -= 1
            return self._remaining == 0


_armed: _Failpoint | None = None


def arm(text: str) -> None:
    """Arm ``<name>:<n>:<action>`` instead of the current failpoint; empty text disarms it. Raises ValueError for other text."""
    global _armed  # noqa: PLW0603 - one switch for the whole process
    _armed = _Failpoint(text) if text else None


def reach(name: str) -> None:
    """Trigger the armed failpoint if it is ``name`` and due: raise OSError, kill the process, or sleep."""
    if _armed is None or _armed.name != name or not _armed.is_due():
        return
    _trigger(name, _armed.action)


def _trigger(name: str, action: str) -> None:
    import errno  # noqa: PLC0415 - as above
    import signal  # noqa: PLC0415
    import time  # noqa: PLC0415

    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "sleep":
        time.sleep(_SLEEP_S)
    else:
        number = errno.EIO if action == "eio" else errno.ENOSPC
        raise OSError(number, os.strerror(number), f"failpoint {name}")


arm(os.environ.get("PRAGMASPEC_FAILPOINT", ""))
