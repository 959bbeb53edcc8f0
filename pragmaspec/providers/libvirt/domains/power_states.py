"""A domain's power state (libvirt's ``virDomainState`` and its reason) as a status, and human-readable. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

import libvirt

from pragmaspec.planning.observed import MachineStatus

_STATES: Mapping[int, str] = MappingProxyType(
    {
        libvirt.VIR_DOMAIN_NOSTATE: "in an unknown state",
        libvirt.VIR_DOMAIN_RUNNING: "running",
        libvirt.VIR_DOMAIN_BLOCKED: "running",
        libvirt.VIR_DOMAIN_PAUSED: "paused",
        libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
        libvirt.VIR_DOMAIN_SHUTOFF: "off",
        libvirt.VIR_DOMAIN_CRASHED: "crashed",
        libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
    }
)
BY_USER = "by a user"
"""libvirt's reason for every request of a client, including this program."""
BOOTING = "being booted"
DISK_ERROR = "a disk error; most often the host's disk is full"
_REASONS: Mapping[tuple[int, int], str] = MappingProxyType(
    {
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): DISK_ERROR,
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER): BY_USER,
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED): "the guest crashed",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION): "it is being migrated",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SAVE): "its memory is being saved",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_DUMP): "its memory is being dumped",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_WATCHDOG): "its watchdog fired",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT): "after a snapshot was restored",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN): "it is shutting down",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT): "a snapshot is being taken",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP): "it is being started",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY): "it is being migrated",
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED): "its migration failed",
        (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED): "the guest panicked",
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN): "the guest powered off",
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED): "it was forced off",
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): "the guest crashed",
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED): "it could not start",
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DAEMON): "it ended while the daemon was not running",
    }
)
_SUSPENDED = "the guest suspended itself"
_UNKNOWN = "for a reason that libvirt does not report"


def status_of(state: int, reason: int) -> tuple[MachineStatus, str]:
    """The status of a domain, with the reason if it is unexpected."""
    why = _REASONS.get((state, reason), "")
    if state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        return "paused", _SUSPENDED
    if state == libvirt.VIR_DOMAIN_CRASHED or (state, reason) == (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
        return "crashed", why
    if state == libvirt.VIR_DOMAIN_PAUSED:
        return "paused", why or _UNKNOWN
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        return "off", why if reason in (libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF_FAILED) else ""
    return "running", ""


def describe_state(state: int, reason: int) -> str:
    """The human-readable power state."""
    words = _STATES.get(state, f"in state {state}")
    why = _REASONS.get((state, reason))
    return f"{words} ({why})" if why else words
