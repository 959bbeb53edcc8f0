"""Failures of passing devices of a host through to a machine: from messages of libvirt and QEMU to errors. Pure."""

import re
from typing import NamedTuple

from pragmaspec.errors import SiteConflictError, SiteError


class DeviceFailure(NamedTuple):
    """The error class of a failure, its summary, and advice to the user."""

    error: type[SiteError]
    summary: str
    advice: str


_RULES: tuple[tuple[re.Pattern[str], DeviceFailure], ...] = (
    (
        re.compile(r"PCI device \S+ is in use|PCI device \S+ allocated from network .* is already in use"),
        DeviceFailure(
            SiteConflictError,
            "Device in use",
            "Another machine was started with the device meanwhile. Plan again to choose another.",
        ),
    ),
    (
        re.compile(r"host pci device \S+ not found|Device \S+ not found: could not access /sys/bus/pci/devices"),
        DeviceFailure(SiteConflictError, "The device is gone", "Plan again to choose another."),
    ),
    (
        re.compile(
            r"passthrough of host PCI devices|VFIO PCI passthrough|VFIO device assignment is currently|no iommu_group found"
        ),
        DeviceFailure(
            SiteError,
            "The host cannot pass devices through",
            "Enable the IOMMU in the host's firmware (VT-d, AMD-Vi) and kernel (`intel_iommu=on`; AMD: on by default), and load "
            "the module vfio-pci.",
        ),
    ),
    (
        re.compile(r"group (?:\d+ )?is not viable|devices within the iommu_group are bound|Verify all devices in group"),
        DeviceFailure(
            SiteError,
            "The device's neighbours are in use",
            "The host itself uses another device of the same IOMMU group, such as the audio function of a GPU. Bind it to "
            "vfio-pci, or give it to the same node: `ls /sys/bus/pci/devices/ADDRESS/iommu_group/devices` lists the group.",
        ),
    ),
)


def device_failure(message: str) -> DeviceFailure | None:
    """Return the failure that ``message`` reports; None if it does not concern a device of the host."""
    return next((failure for pattern, failure in _RULES if pattern.search(message)), None)
