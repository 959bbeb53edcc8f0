"""The domain XML of one node, from plain values. Pure. Format: https://libvirt.org/formatdomain.html."""

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, register_namespace

from pragmaspec.frozen import Frozen
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.metadata import NAMESPACE, add_domain_owner
from pragmaspec.providers.libvirt.xml import text
from pragmaspec.resources import Mark, Node

VirtType = Literal["kvm", "qemu", "test"]
"""libvirt's ``<domain type>``: with KVM, emulated (TCG), pretended."""

STANDARD_MTU = 1500
EMULATED_CPU = "Nehalem"
"""x86-64-v2, the least that current distributions start on. Under TCG it boots as fast as ``qemu64``, which is v1; what ``max``
adds (AVX2, five-level paging) is emulated instruction by instruction and makes guests that detect it slower."""

register_namespace("pragmaspec", NAMESPACE)


class GuestPlatform(Frozen, frozen=True):
    """What kind of machine the host gives: virtualisation, guest architecture, and the board (None: libvirt's choice)."""

    virt_type: VirtType
    arch: str = "x86_64"
    board: str | None = "q35"
    dac: bool = False
    """Whether libvirt hands files to QEMU's user by changing their owner (its security model "dac")."""
    loader: str = ""
    """The file of the UEFI firmware, for a node that starts by it; empty: libvirt's choice."""


class InterfaceLink(Frozen, frozen=True):
    """Where one interface is plugged in: exactly one of a libvirt ``network`` and a host ``bridge``."""

    mac: str
    network: str | None = None
    bridge: str | None = None
    mtu: int = STANDARD_MTU


class DirectKernel(Frozen, frozen=True):
    """A kernel that QEMU loads itself; absolute paths at the site."""

    kernel: str
    initrd: str | None = None
    cmdline: str = ""


class DomainConfig(Frozen, frozen=True):
    """Everything that a domain's XML says. Paths are absolute and at the site."""

    node: Node
    mark: Mark
    machine: GuestPlatform
    disk: str
    """The node's overlay, qcow2."""
    base: str
    """The staged image it stands on."""
    base_format: Literal["qcow2", "raw"]
    seed: str
    console_log: str
    links: tuple[InterfaceLink, ...]
    direct: DirectKernel | None = None
    nvram: str = ""
    """Where UEFI firmware keeps its variables; libvirt makes it when it is not there."""

    @property
    def by_uefi(self) -> bool:
        """True if UEFI firmware starts the machine. libvirt's test driver supports none."""
        return self.node.firmware == "uefi" and self.direct is None and self.machine.virt_type != "test"


def domain_xml(parts: DomainConfig) -> str:
    """The domain's XML, with its owner."""
    return text(domain_element(parts))


def domain_element(parts: DomainConfig) -> Element:
    """The same as a tree."""
    node, machine = parts.node, parts.machine
    domain = Element("domain", {"type": machine.virt_type})
    _add(domain, "name", names.domain_name(node.name, parts.mark))
    _add(domain, "uuid", parts.mark.uuid)
    _add(domain, "title", f"{node.name}, {node.role} of {node.cluster} at {node.site}")
    add_domain_owner(domain, parts.mark)
    _add(domain, "memory", str(node.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(node.cpus))
    _boot(domain, parts)
    features = _add(domain, "features")
    _add(features, "acpi")
    if _is_pc(machine):
        _add(features, "apic")
    _cpu(domain, machine)
    _clock(domain, machine)
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")
    _devices(domain, parts)
    return domain


def _add(parent: Element, tag: str, content: str | None = None, /, **attributes: str) -> Element:
    child = SubElement(parent, tag, attributes)
    child.text = content
    return child


def _is_pc(machine: GuestPlatform) -> bool:
    return machine.arch in ("x86_64", "i686")


def _boot(domain: Element, parts: DomainConfig) -> None:
    machine, direct = parts.machine, parts.direct
    chosen = {"firmware": "efi"} if parts.by_uefi and not machine.loader else {}
    os = _add(domain, "os", **chosen)
    board = {"machine": machine.board} if machine.board else {}
    _add(os, "type", "hvm", arch=machine.arch, **board)
    if parts.by_uefi:
        if machine.loader:
            _add(os, "loader", machine.loader, readonly="yes", type="pflash")
        else:
            # Otherwise libvirt prefers firmware that starts signed loaders only.
            _add(_add(os, "firmware"), "feature", enabled="no", name="secure-boot")
        _add(os, "nvram", parts.nvram)
    if direct is None:
        _add(os, "boot", dev="hd")
        return
    _add(os, "kernel", direct.kernel)
    if direct.initrd:
        _add(os, "initrd", direct.initrd)
    if direct.cmdline:
        _add(os, "cmdline", direct.cmdline)


def _cpu(domain: Element, machine: GuestPlatform) -> None:
    match machine.virt_type:
        case "kvm":
            # The host's own CPU with all it can do; check="none" because there is no promise to keep about single features.
            _add(domain, "cpu", mode="host-passthrough", check="none")
        case "qemu" if _is_pc(machine):
            cpu = _add(domain, "cpu", mode="custom", match="exact", check="none")
            _add(cpu, "model", EMULATED_CPU, fallback="forbid")
        case _:
            pass


def _clock(domain: Element, machine: GuestPlatform) -> None:
    clock = _add(domain, "clock", offset="utc")
    if machine.virt_type == "kvm" and _is_pc(machine):
        # kvmclock serves the time; these would only wake the host.
        _add(clock, "timer", name="rtc", tickpolicy="catchup")
        _add(clock, "timer", name="pit", tickpolicy="delay")
        _add(clock, "timer", name="hpet", present="no")


def _devices(domain: Element, parts: DomainConfig) -> None:
    devices = _add(domain, "devices")
    _disk(devices, parts)
    _seed(devices, parts.seed)
    if _is_pc(parts.machine):
        _add(devices, "controller", type="usb", model="none")
    for link in parts.links:
        _interface(devices, link)
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=parts.console_log, append="off")
    _add(serial, "target", port="0")
    rng = _add(devices, "rng", model="virtio")
    _add(rng, "backend", "/dev/urandom", model="random")
    _add(devices, "memballoon", model="virtio")


def _disk(devices: Element, parts: DomainConfig) -> None:
    """Add the overlay with its whole chain spelled out.

    libvirt then probes nothing, and a guest that writes a foreign header into its disk gains nothing by it.
    """
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2", discard="unmap")
    _add(disk, "source", file=parts.disk)
    backing = _add(disk, "backingStore", type="file")
    _add(backing, "format", type=parts.base_format)
    source = _add(backing, "source", file=parts.base)
    if parts.machine.dac:
        # All stacks stand on this file. It stays the daemon's own, so that no QEMU, not even a hijacked one, can write to it.
        _add(source, "seclabel", model="dac", relabel="no")
    _add(backing, "backingStore")
    _add(disk, "target", dev="vda", bus="virtio")


def _seed(devices: Element, path: str) -> None:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="raw")
    _add(disk, "source", file=path)
    _add(disk, "backingStore")
    _add(disk, "target", dev="vdb", bus="virtio")
    _add(disk, "readonly")


def _interface(devices: Element, link: InterfaceLink) -> None:
    kind = "network" if link.network else "bridge"
    interface = _add(devices, "interface", type=kind)
    _add(interface, "mac", address=link.mac)
    _add(interface, "source", **{kind: link.network or link.bridge or ""})
    _add(interface, "model", type="virtio")
    if link.mtu != STANDARD_MTU:
        _add(interface, "mtu", size=str(link.mtu))
    # Nobody boots from the network here; without the ROM the firmware is done sooner.
    _add(interface, "rom", enabled="no")
