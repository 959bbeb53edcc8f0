"""Values that only a site chooses, in plans made before it has."""

from pragmaspec.planning.late.values import KNOWN_AFTER_APPLY
from pragmaspec.resources import Nic


def shown(value: str) -> str:
    """Return ``value``, or ``(known after apply)`` if it is unknown."""
    return value or KNOWN_AFTER_APPLY


def interface_text(nic: Nic) -> str:
    """Return the address of ``nic`` with the prefix of its interface, if there is one: ``10.20.0.1/16``."""
    if not nic.address:
        return KNOWN_AFTER_APPLY
    return nic.address if nic.translated else f"{nic.address}/{nic.prefix}"
