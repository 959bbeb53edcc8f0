"""Field type for PCI devices: addresses, and kinds as vendor and product."""

import re

from pragmaspec.spec.fields.scalars import ScalarField
from pragmaspec.spec.value_errors import value_error, value_text

_ADDRESS = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")
_KIND = re.compile(r"(?:0x)?([0-9a-f]{4}):(?:0x)?([0-9a-f]{4})")
_PATTERN = r"^([0-9A-Fa-f]{4,8}:)?[0-9A-Fa-f]{2}:[01][0-9A-Fa-f]\.[0-7]$|^(0x)?[0-9A-Fa-f]{4}:(0x)?[0-9A-Fa-f]{4}$"


def pci_device() -> ScalarField:
    """Return a field type that reads ``41:00.0`` as ``0000:41:00.0`` and ``10DE:20B0`` as ``10de:20b0``."""

    def read(value: object) -> str:
        written = value.lower() if isinstance(value, str) else ""
        address = _ADDRESS.fullmatch(written)
        if address:
            return f"{address[1] or '0000'}:{address[2]}:{address[3]}.{address[4]}"
        kind = _KIND.fullmatch(written)
        if kind is None:
            raise value_error(
                "Not a PCI device",
                f"{value_text(value)} is not a PCI device; write its address such as 0000:41:00.0, or vendor and product such as "
                "10de:20b0, which `lspci -D -nn` shows on the host",
            )
        return f"{kind[1]}:{kind[2]}"

    return ScalarField(read, {"type": "string", "pattern": _PATTERN})
