"""How long, and how often, a server is waited for."""

from pragmaspec.frozen import Frozen


class TransferPolicy(Frozen, frozen=True):
    """Limits of a transfer; times in seconds. ``most_bytes`` of one file, when its server does not tell how long it is.

    ``pause_s`` before a broken transfer is tried again, doubled each time that brings nothing, until ``tries`` in a row did.
    A server that sends less than ``slowest_bytes_s`` for ``slow_for_s`` counts as broken.
    """

    pause_s: float = 0.5
    tries: int = 5
    connect_s: float = 15.0
    read_s: float = 60.0
    slowest_bytes_s: int = 1024
    slow_for_s: float = 60.0
    most_bytes: int = 2**40
