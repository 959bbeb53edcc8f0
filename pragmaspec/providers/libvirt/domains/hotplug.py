"""A callback that runs once the interfaces of a starting domain are attached.

libvirt locks a network for half a second while it passes an address to the DHCP server, because it rewrites the firewall rules. A
concurrent start waits for the lock, and updating the network after the start would add that time; but a start needs the network
only at its very beginning.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import libvirt

from pragmaspec.providers.libvirt.host import Host

_POLL_S = 0.01


@contextmanager
def after_attach(host: Host, uuid: str, callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` in a thread as soon as domain ``uuid``, started in the block, has its interfaces; at the latest after it.

    An error of ``callback`` is raised after the block. If the block raises first, ``callback`` is not called.
    """
    finished = threading.Event()
    given_up = threading.Event()
    errors: list[BaseException] = []

    def wait_and_call() -> None:
        while not finished.wait(_POLL_S) and not _runs(host, uuid):
            continue
        if given_up.is_set():
            return
        try:
            callback()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that started the machine
            errors.append(error)

    thread = threading.Thread(target=wait_and_call, name=f"{threading.current_thread().name}-attached", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        given_up.set()
        raise
    finally:
        finished.set()
        thread.join()
    if errors:
        raise errors[0]


def _runs(host: Host, uuid: str) -> bool:
    """True if the domain is active. libvirt answers once the start has released the domain: its interfaces exist by then."""
    with suppress(libvirt.libvirtError):
        # Through this thread's own connection: a daemon serves few requests per client at a time, and this one blocks.
        return bool(host.handle().lookupByUUIDString(uuid).isActive())
    return False
