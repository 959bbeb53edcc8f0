"""Resuming machines, and power states, with a fake domain rather than a full disk."""

import libvirt
import pytest

from pragmaspec.errors import SiteError
from pragmaspec.providers.libvirt.domains import power
from pragmaspec.providers.libvirt.domains.power_states import DISK_ERROR, status_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.site import LibvirtSite

HOST = Host(LibvirtSite(name="lab"))
RUNNING = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_UNPAUSED)
FULL = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)


class Machine:
    """A domain with the given states in turn; the last one is repeated."""

    def __init__(self, *states: tuple[int, int]) -> None:
        self.states = list(states)
        self.done: list[str] = []

    def state(self) -> list[int]:
        return list(self.states.pop(0) if len(self.states) > 1 else self.states[0])

    def resume(self) -> None:
        self.done.append("resume")

    def pMWakeup(self, flags: int) -> None:  # noqa: N802 - libvirt's name
        self.done.append("wake")


def test_a_disk_that_is_still_full_is_an_error() -> None:
    machine = Machine(FULL, FULL, RUNNING, FULL)
    with pytest.raises(SiteError, match="paused again at once: a disk error"):
        power.resume_or_fail(HOST, machine, "hello-frontend")
    assert machine.done == ["resume"]


def test_a_machine_continues_when_its_disk_has_space_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "WRITE_RETRY_S", 0.1)
    power.resume_or_fail(HOST, Machine(FULL, FULL, RUNNING), "hello-frontend")


def test_a_suspended_guest_is_woken_up() -> None:
    machine = Machine((libvirt.VIR_DOMAIN_PMSUSPENDED, 0))
    power.resume_if_paused(machine)
    assert machine.done == ["wake"]


@pytest.mark.parametrize(
    ("state", "reason", "status", "why"),
    [
        (*RUNNING, "running", ""),
        (*FULL, "paused", DISK_ERROR),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, "paused", "by a user"),
        (libvirt.VIR_DOMAIN_PAUSED, 0, "paused", "for a reason that libvirt does not report"),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED, "crashed", "the guest crashed"),
        (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED, "crashed", "the guest panicked"),
        (libvirt.VIR_DOMAIN_PMSUSPENDED, 0, "paused", "the guest suspended itself"),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, "off", ""),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, "off", "the guest crashed"),
    ],
)
def test_status_of_a_power_state(state: int, reason: int, status: str, why: str) -> None:
    assert status_of(state, reason) == (status, why)
