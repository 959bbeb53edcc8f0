"""Power operations: graceful and forced shutdown, resume, autostart."""

import time

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt.domains.lookup import find_own
from pragmaspec.providers.libvirt.domains.power_states import DISK_ERROR, status_of
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import Mark, Node

POLL_S = 0.1
WRITE_RETRY_S = 1.0
"""A machine paused for a disk error that still cannot write is paused again within this time after its resume."""
POWER_BUTTON_REPEAT_S = 5.0
"""A guest that is still booting ignores the power button, so it is pressed again."""


def shutdown(host: Host, node: Node, mark: Mark, grace_s: float) -> None:
    """Ask the guest by ACPI to power off, and force it off after ``grace_s`` seconds. Absent, off or foreign: no effect.

    Clears the autostart flag of a node that is to be off.
    """
    domain = find_own(host, node, mark)
    if domain is None:
        return
    until = time.monotonic() + (grace_s if _can_respond(domain.handle) else 0)
    next_press = 0.0
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
        while domain.running and time.monotonic() < until:
            if time.monotonic() >= next_press:
                domain.handle.shutdown()  # By ACPI: our domains have no channel to a guest agent.
                next_press = time.monotonic() + POWER_BUTTON_REPEAT_S
            time.sleep(POLL_S)
    force_off(domain.handle)
    if not node.running:
        with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
            apply_autostart(domain.handle, enabled=False)


def set_autostart(host: Host, node: Node, mark: Mark) -> None:
    """Set the autostart flag of the node's domain. Raises SiteError when it is absent."""
    domain = find_own(host, node, mark)
    if domain is None:
        raise SiteError(
            "An object is missing at the site",
            f"{node.name} is not defined at site {host.site.name}. It was removed meanwhile: plan again.",
        )
    apply_autostart(domain.handle, enabled=node.autostart)


def apply_autostart(domain: libvirt.virDomain, *, enabled: bool) -> None:
    """Set the autostart flag if it differs. A transient domain does not survive a reboot and has no flag."""
    if domain.isPersistent() and bool(domain.autostart()) != enabled:
        domain.setAutostart(int(enabled))


def _can_respond(domain: libvirt.virDomain) -> bool:
    """True unless the machine has crashed. A paused one is resumed first, because its guest cannot respond."""
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        if status_of(*domain.state())[0] == "crashed":
            return False
        resume_if_paused(domain)
    return True


def resume(host: Host, mark: Mark) -> None:
    """Resume the domain that was started paused. Absent, off or running: no effect."""
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        resume_if_paused(host.handle().lookupByUUIDString(mark.uuid))


def resume_if_paused(domain: libvirt.virDomain) -> None:
    """Resume or wake up the domain. One that another run is starting is paused too, and may have changed state meanwhile."""
    state = domain.state()[0]
    with ignoring(libvirt.VIR_ERR_OPERATION_INVALID):
        if state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        elif state == libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup(0)


def resume_or_fail(host: Host, domain: libvirt.virDomain, node: str) -> None:
    """Resume a paused machine. Raises SiteError when it pauses at once again, because it cannot write to its disk.

    QEMU repeats the failed writes on resume.
    """
    paused = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR]
    failing = [*domain.state()] == paused
    resume_if_paused(domain)
    until = time.monotonic() + WRITE_RETRY_S
    while failing and time.monotonic() < until:
        if [*domain.state()] == paused:
            raise SiteError(
                "A node's machine cannot write to its disk",
                f"{node} at site {host.site.name} was resumed, and paused again at once: {DISK_ERROR}. Free space "
                "there and apply again; it then continues where it stopped.",
            )
        time.sleep(POLL_S)


def force_off(domain: libvirt.virDomain) -> None:
    """Stop the machine immediately. Off or absent: no effect."""
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
        if domain.isActive():
            domain.destroy()
