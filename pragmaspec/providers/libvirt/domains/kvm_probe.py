"""Whether KVM really works at a host.

libvirt's word is not enough: nested or broken KVM is reported as available, and then QEMU aborts when it sets up the processor,
or a guest starts and stays "running" and its kernel hangs silently. A sure probe is a kernel without a root file system that is
told to reboot when it panics: it ends by itself where guests work, and never where they do not. Without a kernel to try it with,
the firmware has to do: it reboots when it finds nothing to boot. That finds a QEMU that aborts, not a kernel that hangs.
"""

import threading
import time
from contextlib import suppress
from uuid import uuid4
from xml.etree.ElementTree import Element, SubElement

import libvirt

from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.kvm_cache import KvmResult, record_verdict, recorded_verdict
from pragmaspec.providers.libvirt.domains.xml import GuestPlatform, VirtType
from pragmaspec.providers.libvirt.errors import absent_is_fine, code_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import text

PROBE_LIMIT_S = 20.0
"""A kernel reaches its panic in about 1 s with KVM, in 2 to 5 s emulated."""
WATCH_S = 10.0
"""A boot loader that hands over to a kernel reaches the instruction within 3 s on an idle machine, within 7 s on a busy one."""
POLL_S = 0.1
PROBE_MEMORY_MIB = 256

_one_probe = threading.Lock()


def settle(host: Host, kernel: str | None) -> VirtType:
    """What guests run with: probed with ``kernel`` (a path at the site) or any staged one, once per site.

    Without any kernel there KVM passes when the firmware runs with it, which every process asks anew. When a probe tells nothing,
    libvirt is believed; ``virt_type:`` of the site is then the way to say otherwise.
    """
    if host.virt_type != "kvm" or host.site.virt_type is not None:
        return host.virt_type
    with _one_probe:
        site_id = host.identity().id
        verdict = recorded_verdict(site_id)
        kernel = kernel or _any_kernel(host)
        if verdict == "watched" and kernel is None:
            return "kvm"
        if verdict in (None, "watched") and (kernel is not None or not host.firmware_runs):
            verdict = _probed(host, kernel)
            if verdict == "qemu" or (verdict == "kvm" and kernel is not None):
                record_verdict(site_id, verdict)
            host.firmware_runs = verdict == "kvm"
        return "qemu" if verdict == "qemu" else "kvm"


def kvm_stopped(host: Host, domain: libvirt.virDomain, limit_s: float = WATCH_S) -> bool:
    """True if KVM gave up on ``domain``, which has just been started with it. Not checked where KVM is known to work.

    QEMU pauses a machine with an instruction that KVM cannot execute, such as the first ones of a kernel. From then on the site's
    machines are emulated. The first machines are watched for ``limit_s`` seconds, once per site.
    """
    site_id = host.identity().id
    if host.site.virt_type is not None or host.kvm_stops is False:
        return False
    verdict = recorded_verdict(site_id)
    if verdict is not None:
        return verdict == "qemu"  # Found by another machine since this one was started.
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if host.kvm_stops or domain.state()[0] in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_CRASHED):
            host.kvm_stops = True
            record_verdict(site_id, "qemu")
            return True
        time.sleep(POLL_S)
    host.kvm_stops = False
    record_verdict(site_id, "watched")
    return False


def _probed(host: Host, kernel: str | None) -> KvmResult | None:
    """What works. None: neither does, so it is something else that is wrong (a kernel that is none, a full host)."""
    if works(host, "kvm", kernel):
        return "kvm"
    return "qemu" if works(host, "qemu", kernel) else None


def _any_kernel(host: Host) -> str | None:
    name = min(filter(names.is_kernel, volumes.listed(host)), default=None)
    return host.path(name) if name else None


def works(host: Host, virt_type: VirtType, kernel: str | None, limit_s: float = PROBE_LIMIT_S) -> bool:
    """Whether a guest of ``virt_type`` gets as far as its panic (without a kernel: its firmware to an end) within ``limit_s``.

    The probe's domain is transient and bound to this connection: nothing of it stays, even if this process dies.
    """
    machine = GuestPlatform(virt_type=virt_type, arch=host.machine().arch, board="q35")
    try:
        domain = host.handle().createXML(probe_xml(machine, kernel, uuid4().hex[:8]), libvirt.VIR_DOMAIN_START_AUTODESTROY)
    except libvirt.libvirtError:
        return False  # QEMU itself gave up: `-cpu host` aborts under some broken KVMs.
    until = time.monotonic() + limit_s
    try:
        while time.monotonic() < until:
            if not _runs(domain):
                return True
            time.sleep(POLL_S)
        return False
    finally:
        with suppress(libvirt.libvirtError), absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
            domain.destroy()


def _runs(domain: libvirt.virDomain) -> bool:
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def probe_xml(machine: GuestPlatform, kernel: str | None, unique: str) -> str:
    """A guest with a kernel and nothing else, or with nothing at all. Pure."""
    domain = Element("domain", {"type": machine.virt_type})
    SubElement(domain, "name").text = f"{names.PREFIX}-probe-{unique}"
    SubElement(domain, "memory", {"unit": "MiB"}).text = str(PROBE_MEMORY_MIB)
    SubElement(domain, "vcpu").text = "1"
    os = SubElement(domain, "os")
    SubElement(os, "type", {"arch": machine.arch, "machine": machine.board or ""}).text = "hvm"
    if kernel is None:
        SubElement(os, "bios", {"rebootTimeout": "0"})
    else:
        SubElement(os, "kernel").text = kernel
        SubElement(os, "cmdline").text = "panic=-1 quiet"
    SubElement(SubElement(domain, "features"), "acpi")
    if machine.virt_type == "kvm":
        SubElement(domain, "cpu", {"mode": "host-passthrough", "check": "none"})
    SubElement(domain, "on_reboot").text = "destroy"
    SubElement(domain, "on_crash").text = "destroy"
    devices = SubElement(domain, "devices")
    SubElement(devices, "controller", {"type": "usb", "model": "none"})
    SubElement(devices, "memballoon", {"model": "none"})
    return text(domain)
