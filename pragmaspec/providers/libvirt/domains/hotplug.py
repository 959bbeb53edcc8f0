"""Doing something to a network while a machine starts that is plugged into it.

libvirt holds a network for half a second while it tells the DHCP server of an address, because it writes the firewall anew. A
start that comes meanwhile waits for that, and after the start it would be waited for; but a start needs the network only at its
very beginning.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import libvirt

from pragmaspec.providers.libvirt.host import Host

_POLL_S = 0.01


@contextmanager
def after_plugging(host: Host, uuid: str, do: Callable[[], None]) -> Iterator[None]:
    """Call ``do`` in a thread as soon as domain ``uuid``, started in the body, has its interfaces; at the latest after the body.

    An error of ``do`` is raised after the body. When the body raises, ``do`` is not called any more.
    """
    over = threading.Event()
    given_up = threading.Event()
    errors: list[BaseException] = []

    def wait_and_do() -> None:
        while not over.wait(_POLL_S) and not _runs(host, uuid):
            continue
        if given_up.is_set():
            return
        try:
            do()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that started the machine
            errors.append(error)

    thread = threading.Thread(target=wait_and_do, name=f"{threading.current_thread().name}-plugged", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        given_up.set()
        raise
    finally:
        over.set()
        thread.join()
    if errors:
        raise errors[0]


def _runs(host: Host, uuid: str) -> bool:
    """Whether the machine has a process. libvirt answers when the start lets go of the domain: its interfaces are made then."""
    with suppress(libvirt.libvirtError):
        # By this thread's own connection: a daemon takes few requests of one client at a time, and this one waits.
        return bool(host.handle().lookupByUUIDString(uuid).isActive())
    return False
