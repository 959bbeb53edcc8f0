"""The domain XML of one node. Pure. Format: https://libvirt.org/formatdomain.html."""

from typing import Literal
from xml.etree.ElementTree import Element, SubElement, register_namespace

from pragmaspec.frozen import Frozen
from pragmaspec.providers.libvirt import names
from pragmaspec.providers.libvirt.domains.definition import extra_target
from pragmaspec.providers.libvirt.domains.host_devices import add_host_devices
from pragmaspec.providers.libvirt.domains.pinning import CpuPin, add_pin
from pragmaspec.providers.libvirt.domains.processor import PC, VirtType, processor_element
from pragmaspec.providers.libvirt.metadata import NAMESPACE, add_domain_owner
from pragmaspec.providers.libvirt.xml import to_text
from pragmaspec.resources import STANDARD_MTU, Mark, Node

EMULATED_CPU = "Nehalem"
"""x86-64-v2, the minimum of current distributions. Under TCG it boots as fast as ``qemu64``, which is v1; the additions of
``max`` (AVX2, five-level paging) are emulated instruction by instruction and make guests that detect them slower."""

register_namespace("pragmaspec", NAMESPACE)


class GuestPlatform(Frozen, frozen=True):
    """The platform of a host's guests: virtualisation, architecture, and machine type (``board``; None: libvirt's choice)."""

    virt_type: VirtType
    arch: str = "x86_64"
    board: str | None = "q35"
    dac: bool = False
    """True if libvirt gives QEMU's user access to files by changing their owner (its security model "dac")."""
    loader: str = ""
    """The file of the UEFI firmware, for a node that boots with UEFI; empty: libvirt's choice."""


class InterfaceLink(Frozen, frozen=True):
    """The attachment of one interface: to exactly one of a libvirt ``network`` and a host ``bridge``."""

    mac: str
    network: str | None = None
    bridge: str | None = None
    mtu: int = STANDARD_MTU


class DirectKernel(Frozen, frozen=True):
    """A kernel that QEMU loads directly; absolute paths at the site."""

    kernel: str
    initrd: str | None = None
    cmdline: str = ""


class ExtraDisk(Frozen, frozen=True):
    """A further disk: its serial number, and the path of its qcow2 file."""

    serial: str
    file: str


class DomainConfig(Frozen, frozen=True):
    """The configuration of a domain. Paths are absolute and at the site."""

    node: Node
    mark: Mark
    platform: GuestPlatform
    disk: str
    """The node's overlay, qcow2."""
    base: str
    """The staged image that backs the disk."""
    base_format: Literal["qcow2", "raw"]
    seed: str
    console_log: str
    links: tuple[InterfaceLink, ...]
    direct: DirectKernel | None = None
    nvram: str = ""
    """The file of the UEFI firmware's variables; libvirt creates it."""
    extra_disks: tuple[ExtraDisk, ...] = ()
    pin: CpuPin | None = None

    @property
    def boots_with_uefi(self) -> bool:
        """True if the machine boots with UEFI firmware, which libvirt's test driver does not support."""
        return self.node.firmware == "uefi" and self.direct is None and self.platform.virt_type != "test"


def domain_xml(config: DomainConfig) -> str:
    """The domain's XML, with its owner mark."""
    return to_text(domain_element(config))


def domain_element(config: DomainConfig) -> Element:
    """As :func:`domain_xml`, but an element."""
    node, platform = config.node, config.platform
    domain = Element("domain", {"type": platform.virt_type})
    _add(domain, "name", names.domain_name(node.name, config.mark))
    _add(domain, "uuid", config.mark.uuid)
    _add(domain, "title", f"{node.name}, {node.role} of {node.cluster} at {node.site}")
    add_domain_owner(domain, config.mark)
    _add(domain, "memory", str(node.memory_mib), unit="MiB")
    _add(domain, "vcpu", str(node.cpus))
    _boot(domain, config)
    features = _add(domain, "features")
    _add(features, "acpi")
    if _is_pc(platform):
        _add(features, "apic")
    _cpu(domain, node, platform)
    _clock(domain, platform)
    _add(domain, "on_poweroff", "destroy")
    _add(domain, "on_reboot", "restart")
    _add(domain, "on_crash", "destroy")
    _devices(domain, config)
    if config.pin is not None:
        add_pin(domain, config.pin)
    return domain


def _add(parent: Element, tag: str, content: str | None = None, /, **attributes: str) -> Element:
    child = SubElement(parent, tag, attributes)
    child.text = content
    return child


def _is_pc(platform: GuestPlatform) -> bool:
    return platform.arch in PC


def _boot(domain: Element, config: DomainConfig) -> None:
    platform, direct = config.platform, config.direct
    chosen = {"firmware": "efi"} if config.boots_with_uefi and not platform.loader else {}
    os = _add(domain, "os", **chosen)
    board = {"machine": platform.board} if platform.board else {}
    _add(os, "type", "hvm", arch=platform.arch, **board)
    if config.boots_with_uefi:
        if platform.loader:
            _add(os, "loader", platform.loader, readonly="yes", type="pflash")
        else:
            # Otherwise libvirt prefers firmware that boots signed loaders only.
            _add(_add(os, "firmware"), "feature", enabled="no", name="secure-boot")
        _add(os, "nvram", config.nvram)
    if direct is None:
        _add(os, "boot", dev="hd")
        return
    _add(os, "kernel", direct.kernel)
    if direct.initrd:
        _add(os, "initrd", direct.initrd)
    if direct.cmdline:
        _add(os, "cmdline", direct.cmdline)


def _cpu(domain: Element, node: Node, platform: GuestPlatform) -> None:
    if node.cpu:
        domain.append(processor_element(node.cpu, platform.virt_type, platform.arch))
        return
    match platform.virt_type:  # As all machines had it before processors were recorded.
        case "kvm":
            # The host's CPU with all its features; check="none" because no single feature is promised.
            _add(domain, "cpu", mode="host-passthrough", check="none")
        case "qemu" if _is_pc(platform):
            cpu = _add(domain, "cpu", mode="custom", match="exact", check="none")
            _add(cpu, "model", EMULATED_CPU, fallback="forbid")
        case _:
            pass


def _clock(domain: Element, platform: GuestPlatform) -> None:
    clock = _add(domain, "clock", offset="utc")
    if platform.virt_type == "kvm" and _is_pc(platform):
        # The guest uses kvmclock; these timers would only wake the host.
        _add(clock, "timer", name="rtc", tickpolicy="catchup")
        _add(clock, "timer", name="pit", tickpolicy="delay")
        _add(clock, "timer", name="hpet", present="no")


def _devices(domain: Element, config: DomainConfig) -> None:
    devices = _add(domain, "devices")
    _disk(devices, config)
    _seed(devices, config.seed)
    for index, disk in enumerate(config.extra_disks):
        _extra_disk(devices, disk, extra_target(index))
    if _is_pc(config.platform):
        _add(devices, "controller", type="usb", model="none")
    for link in config.links:
        _interface(devices, link)
    add_host_devices(devices, config.node)
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=config.console_log, append="off")
    _add(serial, "target", port="0")
    rng = _add(devices, "rng", model="virtio")
    _add(rng, "backend", "/dev/urandom", model="random")
    _add(devices, "memballoon", model="virtio")


def _disk(devices: Element, config: DomainConfig) -> None:
    """Add the overlay with its complete backing chain.

    libvirt then probes nothing, and a guest that writes a foreign header into its disk gains nothing.
    """
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2", discard="unmap")
    _add(disk, "source", file=config.disk)
    backing = _add(disk, "backingStore", type="file")
    _add(backing, "format", type=config.base_format)
    source = _add(backing, "source", file=config.base)
    if config.platform.dac:
        # All stacks share this file. The daemon remains its owner, so that no QEMU, not even a hijacked one, can write to it.
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


def _extra_disk(devices: Element, extra: ExtraDisk, target: str) -> None:
    disk = _add(devices, "disk", type="file", device="disk")
    _add(disk, "driver", name="qemu", type="qcow2", discard="unmap")
    _add(disk, "source", file=extra.file)
    _add(disk, "backingStore")
    _add(disk, "target", dev=target, bus="virtio")
    _add(disk, "serial", extra.serial)


def _interface(devices: Element, link: InterfaceLink) -> None:
    kind = "network" if link.network else "bridge"
    interface = _add(devices, "interface", type=kind)
    _add(interface, "mac", address=link.mac)
    _add(interface, "source", **{kind: link.network or link.bridge or ""})
    _add(interface, "model", type="virtio")
    if link.mtu != STANDARD_MTU:
        _add(interface, "mtu", size=str(link.mtu))
    # Nodes never boot from the network; without the ROM the firmware finishes sooner.
    _add(interface, "rom", enabled="no")
