"""Letting a machine run that was started without running, and powering a node off: the guest is asked, then the power goes."""

import time

import libvirt

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains.power_states import DISK_ERROR, status_of
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.resources import Mark, Node

POLL_S = 0.1
REPEATED_WRITE_S = 1.0
"""Within this time a machine that was paused for a disk error and cannot write yet is paused again."""
PRESS_AGAIN_S = 5.0
"""A guest that is still booting does not hear the power button; it is pressed again."""


def shutdown(host: Host, node: Node, mark: Mark, grace_s: float) -> None:
    """Ask the guest by ACPI to power off, and after ``grace_s`` take the power away. Absent, off or not ours: nothing to do.

    A node that shall be off does not start with its host either.
    """
    domain = domains.find_ours(host, node, mark)
    if domain is None:
        return
    until = time.monotonic() + (grace_s if _hears(domain.handle) else 0)
    next_press = 0.0
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
        while domain.running and time.monotonic() < until:
            if time.monotonic() >= next_press:
                domain.handle.shutdown()  # By ACPI: our domains have no channel to a guest agent.
                next_press = time.monotonic() + PRESS_AGAIN_S
            time.sleep(POLL_S)
    take_power(domain.handle)
    if not node.running:
        with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
            start_with_host(domain.handle, yes=False)


def set_autostart(host: Host, node: Node, mark: Mark) -> None:
    """Let the node's machine start with its host, or no longer. Raises SiteError when it is not there."""
    domain = domains.find_ours(host, node, mark)
    if domain is None:
        raise SiteError(
            "Something is missing at the site",
            f"{node.name} is not defined at site {host.site.name}. It was removed meanwhile: plan again.",
        )
    start_with_host(domain.handle, yes=node.autostart)


def start_with_host(domain: libvirt.virDomain, *, yes: bool) -> None:
    """Set libvirt's flag, where it is otherwise. A machine without a definition outlives no reboot and has none."""
    if domain.isPersistent() and bool(domain.autostart()) != yes:
        domain.setAutostart(int(yes))


def _hears(domain: libvirt.virDomain) -> bool:
    """True unless the machine has crashed. A paused guest is resumed first, because it cannot respond."""
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        if status_of(*domain.state())[0] == "crashed":
            return False
        resume_if_paused(domain)
    return True


def resume(host: Host, mark: Mark) -> None:
    """Let the machine run that was started paused. Gone, off or running: nothing to do."""
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
        resume_if_paused(host.handle().lookupByUUIDString(mark.uuid))


def resume_if_paused(domain: libvirt.virDomain) -> None:
    """A machine that another run is still starting is paused too, and may run or be off by the time it is resumed."""
    state = domain.state()[0]
    with absent_is_fine(libvirt.VIR_ERR_OPERATION_INVALID):
        if state == libvirt.VIR_DOMAIN_PAUSED:
            domain.resume()
        elif state == libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup(0)


def go_on(host: Host, domain: libvirt.virDomain, node: str) -> None:
    """Let a machine run that is paused. Raises SiteError when it stops at once again, because its disk cannot be written to.

    QEMU repeats the failed writes when it goes on.
    """
    paused = [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR]
    failing = [*domain.state()] == paused
    resume_if_paused(domain)
    until = time.monotonic() + REPEATED_WRITE_S
    while failing and time.monotonic() < until:
        if [*domain.state()] == paused:
            raise SiteError(
                "A node's machine cannot write to its disk",
                f"{node} at site {host.site.name} was let run, and paused again at once: {DISK_ERROR}. Make room "
                "there and apply again; it then goes on where it stopped.",
            )
        time.sleep(POLL_S)


def take_power(domain: libvirt.virDomain) -> None:
    """Stop the machine at once; off or gone: nothing to do."""
    with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
        if domain.isActive():
            domain.destroy()
