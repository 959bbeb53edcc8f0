"""A probe that shows whether KVM works at a host.

libvirt reports nested or broken KVM as available, but then QEMU aborts when it sets up the processor, or a guest starts, stays
"running", and its kernel hangs silently. A reliable probe is a kernel without a root file system that reboots when it panics: the
guest ends by itself where KVM works, and never where it does not. Without a staged kernel the probe uses the firmware, which
reboots when it finds nothing to boot. That detects a QEMU that aborts, but not a kernel that hangs.
"""

import threading
import time
from contextlib import suppress
from uuid import uuid4
from xml.etree.ElementTree import Element, SubElement

import libvirt

from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.kvm_cache import KvmResult, cache_result, cached_result
from pragmaspec.providers.libvirt.domains.processor import VirtType
from pragmaspec.providers.libvirt.domains.xml import GuestPlatform
from pragmaspec.providers.libvirt.errors import code_of
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import to_text

PROBE_LIMIT_S = 20.0
"""A kernel reaches its panic in about 1 s with KVM, in 2 to 5 s emulated."""
WATCH_S = 10.0
"""A kernel started by a boot loader reaches the failing instruction within 3 s on an idle machine, within 7 s on a busy one."""
POLL_S = 0.1
PROBE_MEMORY_MIB = 256

_one_probe = threading.Lock()


def resolve_virt_type(host: Host, kernel: str | None) -> VirtType:
    """The domain type of guests: probed with ``kernel`` (a path at the site) or any staged one, once per site.

    Without a kernel at the site KVM passes if the firmware runs with it, which every process probes anew. After an inconclusive
    probe libvirt is trusted; the site's ``virt_type:`` overrides it.
    """
    if host.virt_type != "kvm" or host.site.virt_type is not None:
        return host.virt_type
    with _one_probe:
        site_id = host.identity().id
        result = cached_result(site_id)
        kernel = kernel or _any_kernel(host)
        if result == "watched" and kernel is None:
            return "kvm"
        if result in (None, "watched") and (kernel is not None or not host.firmware_runs):
            result = _probe(host, kernel)
            if result == "qemu" or (result == "kvm" and kernel is not None):
                cache_result(site_id, result)
            host.firmware_runs = result == "kvm"
        return "qemu" if result == "qemu" else "kvm"


def kvm_stopped(host: Host, domain: libvirt.virDomain, limit_s: float = WATCH_S) -> bool:
    """True if KVM stopped ``domain``, which has just been started with it. Not checked where KVM is known to work.

    QEMU pauses a machine at an instruction that KVM cannot execute, such as one of the first of a kernel. From then on the site's
    machines are emulated. The first machines are watched for ``limit_s`` seconds, once per site.
    """
    site_id = host.identity().id
    if host.site.virt_type is not None or host.kvm_stops is False:
        return False
    result = cached_result(site_id)
    if result is not None:
        return result == "qemu"  # Detected with another machine since this one was started.
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if host.kvm_stops or domain.state()[0] in (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_CRASHED):
            host.kvm_stops = True
            cache_result(site_id, "qemu")
            return True
        time.sleep(POLL_S)
    host.kvm_stops = False
    cache_result(site_id, "watched")
    return False


def _probe(host: Host, kernel: str | None) -> KvmResult | None:
    """The working domain type. None: neither works, so the cause is another one (an invalid kernel, a full host)."""
    if guest_runs(host, "kvm", kernel):
        return "kvm"
    return "qemu" if guest_runs(host, "qemu", kernel) else None


def _any_kernel(host: Host) -> str | None:
    name = min(filter(names.is_kernel, volumes.list_names(host)), default=None)
    return host.path(name) if name else None


def guest_runs(host: Host, virt_type: VirtType, kernel: str | None, limit_s: float = PROBE_LIMIT_S) -> bool:
    """True if a guest of ``virt_type`` reaches its panic (without a kernel: the end of its firmware) within ``limit_s``.

    The probe's domain is transient and bound to this connection: it disappears even if this process dies.
    """
    platform = GuestPlatform(virt_type=virt_type, arch=host.platform().arch, board="q35")
    try:
        domain = host.handle().createXML(probe_xml(platform, kernel, uuid4().hex[:8]), libvirt.VIR_DOMAIN_START_AUTODESTROY)
    except libvirt.libvirtError:
        return False  # QEMU itself failed: `-cpu host` aborts under some broken KVMs.
    until = time.monotonic() + limit_s
    try:
        while time.monotonic() < until:
            if not _runs(domain):
                return True
            time.sleep(POLL_S)
        return False
    finally:
        with suppress(libvirt.libvirtError):  # It may have ended; a domain that is left ends with the connection.
            domain.destroy()


def _runs(domain: libvirt.virDomain) -> bool:
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def probe_xml(platform: GuestPlatform, kernel: str | None, unique: str) -> str:
    """The XML of a guest without disks and interfaces, with or without a kernel. Pure."""
    domain = Element("domain", {"type": platform.virt_type})
    SubElement(domain, "name").text = f"{names.PREFIX}-probe-{unique}"
    SubElement(domain, "memory", {"unit": "MiB"}).text = str(PROBE_MEMORY_MIB)
    SubElement(domain, "vcpu").text = "1"
    os = SubElement(domain, "os")
    SubElement(os, "type", {"arch": platform.arch, "machine": platform.board or ""}).text = "hvm"
    if kernel is None:
        SubElement(os, "bios", {"rebootTimeout": "0"})
    else:
        SubElement(os, "kernel").text = kernel
        SubElement(os, "cmdline").text = "panic=-1 quiet"
    SubElement(SubElement(domain, "features"), "acpi")
    if platform.virt_type == "kvm":
        SubElement(domain, "cpu", {"mode": "host-passthrough", "check": "none"})
    SubElement(domain, "on_reboot").text = "destroy"
    SubElement(domain, "on_crash").text = "destroy"
    devices = SubElement(domain, "devices")
    SubElement(devices, "controller", {"type": "usb", "model": "none"})
    SubElement(devices, "memballoon", {"model": "none"})
    return to_text(domain)
