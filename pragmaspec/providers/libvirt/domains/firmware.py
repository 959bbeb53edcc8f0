"""UEFI firmware that a host offers, from libvirt's domain capabilities. Pure but for :func:`offered`.

Where libvirt can choose the firmware itself and leave secure boot off (since 7.2), that is left to it: it knows the files of its
distribution. Otherwise one of the files that it lists is named. Format: https://libvirt.org/formatdomaincaps.html.
"""

import re

import libvirt

from pragmaspec.planning.wanted import Firmware
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parsed

CHOOSES_SINCE = 7_002_000
"""The first libvirt whose ``<firmware>`` can ask for firmware without secure boot."""
_BY_ITSELF = ""
_SECURE = re.compile(r"secboot|secure|\.ms\.|snakeoil|\.qcow2$")
_UEFI = re.compile(r"OVMF|AAVMF|QEMU_EFI|edk2|RISCV_VIRT", re.IGNORECASE)


def uefi_loader(capabilities: str, version: int) -> str | None:
    """The file to name as the loader of a machine, empty to leave the choice to libvirt, None when there is no UEFI firmware.

    ``capabilities``: the domain capabilities for the kind of machine; ``version``: of the daemon, as libvirt counts.
    """
    os = parsed(capabilities).find("os")
    if os is None:
        return None
    if version >= CHOOSES_SINCE and "efi" in {value.text for value in os.findall("enum[@name='firmware']/value")}:
        return _BY_ITSELF
    files = [value.text or "" for value in os.findall("loader/value")]
    return next((file for file in files if _UEFI.search(file) and not _SECURE.search(file)), None)


def offered(host: Host) -> tuple[tuple[Firmware, ...] | None, str]:
    """Firmware that can start machines at ``host`` (None: it cannot tell), and the UEFI loader, see :func:`uefi_loader`."""
    machine = host.machine()
    if machine.virt_type == "test":
        return None, _BY_ITSELF
    with absent_is_fine(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED):
        handle = host.handle()
        capabilities = handle.getDomainCapabilities(None, machine.arch, machine.board, machine.virt_type, 0)
        loader = uefi_loader(capabilities, handle.getLibVersion())
        return (("bios",) if loader is None else ("bios", "uefi")), loader or _BY_ITSELF
    return None, _BY_ITSELF
