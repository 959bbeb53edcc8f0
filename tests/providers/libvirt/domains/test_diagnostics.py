"""Diagnostics of a node: its power state, and the end of its console."""

import libvirt
import pytest

from pragmaspec.providers.base import Diagnostics
from pragmaspec.providers.libvirt.domains.diagnostics import CONSOLE_LINES, last_lines
from pragmaspec.providers.libvirt.domains.power_states import describe_state
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.site import LibvirtSite


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED, "running"),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, "off (the guest powered off)"),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, "off (it was forced off)"),
        (
            libvirt.VIR_DOMAIN_PAUSED,
            libvirt.VIR_DOMAIN_PAUSED_IOERROR,
            "paused (a disk error; most often the host's disk is full)",
        ),
        (99, 0, "in state 99"),
    ],
)
def test_power_states_are_human_readable(state, reason, words):
    assert describe_state(state, reason) == words


def test_last_console_lines_are_valid_text():
    assert last_lines(b"one\r\n\r\n  \ntw\xff\nthree") == ("one", "tw�", "three")
    many = b"\n".join(b"line %d" % number for number in range(1000))
    assert last_lines(many)[-1] == "line 999"
    assert len(last_lines(many)) == CONSOLE_LINES


def test_diagnostics_of_an_unreachable_site_are_empty(fake_stack):
    provider = LibvirtProvider(LibvirtSite(name="lab", uri="qemu+unix:///system?socket=/nonexistent"))
    node = fake_stack.node()
    assert provider.diagnostics(node, fake_stack.mark(node)) == Diagnostics()
    provider.close()


def test_diagnostics_of_a_node_that_is_off(fake_stack):
    fake_stack.prepare()
    node = fake_stack.node()
    fake_stack.boot(node)
    fake_stack.provider.shutdown(node, fake_stack.mark(node), grace_s=0)
    assert fake_stack.provider.diagnostics(node, fake_stack.mark(node)).domain == "off (it was forced off)"
