"""UEFI firmware of a host, from libvirt's domain capabilities.

A libvirt that can select firmware without secure boot (since 7.2) does so itself: it knows the files of its distribution.
Otherwise the loader is one of the files that it lists. Format: https://libvirt.org/formatdomaincaps.html.
"""

import re

import libvirt

from pragmaspec.planning.wanted import Firmware
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parse

AUTOSELECT_SINCE = 7_002_000
"""The first libvirt whose ``<firmware>`` can request firmware without secure boot."""
_AUTOSELECT = ""
_SECURE = re.compile(r"secboot|secure|\.ms\.|snakeoil|\.qcow2$")
_UEFI = re.compile(r"OVMF|AAVMF|QEMU_EFI|edk2|RISCV_VIRT", re.IGNORECASE)


def uefi_loader(capabilities: str, version: int) -> str | None:
    """The loader file of a UEFI machine; empty to let libvirt select it, None when there is no UEFI firmware. Pure.

    ``capabilities``: the domain capabilities for the machine type; ``version``: that of the daemon, as libvirt encodes it.
    """
    os = parse(capabilities).find("os")
    if os is None:
        return None
    if version >= AUTOSELECT_SINCE and "efi" in {value.text for value in os.findall("enum[@name='firmware']/value")}:
        return _AUTOSELECT
    files = [value.text or "" for value in os.findall("loader/value")]
    return next((file for file in files if _UEFI.search(file) and not _SECURE.search(file)), None)


def offered_firmware(host: Host) -> tuple[tuple[Firmware, ...] | None, str]:
    """The firmware that ``host`` offers (None: unknown), and the UEFI loader, see :func:`uefi_loader`."""
    platform = host.platform()
    if platform.virt_type == "test":
        return None, _AUTOSELECT
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED):
        handle = host.handle()
        capabilities = handle.getDomainCapabilities(None, platform.arch, platform.board, platform.virt_type, 0)
        loader = uefi_loader(capabilities, handle.getLibVersion())
        return (("bios",) if loader is None else ("bios", "uefi")), loader or _AUTOSELECT
    return None, _AUTOSELECT
