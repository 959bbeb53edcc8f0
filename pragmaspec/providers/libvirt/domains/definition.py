"""The declared values of a domain's XML, and their differences from the wanted ones. Pure.

One function reads both sides: the generated XML, and libvirt's version of it with defaults filled in.
Format: https://libvirt.org/formatdomain.html.
"""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from xml.etree.ElementTree import Element

from pragmaspec.planning.observed import Difference, Repair

KIB_PER_MIB = 1024
_PER_KIB = {"b": 1 / 1024, "bytes": 1 / 1024, "KB": 1000 / 1024, "k": 1, "KiB": 1, "M": 1024, "MB": 1000**2 / 1024, "MiB": 1024}
_PER_KIB |= {"G": 1024**2, "GB": 1000**3 / 1024, "GiB": 1024**2, "T": 1024**3, "TB": 1000**4 / 1024, "TiB": 1024**3}
"""The units of a domain's memory (libvirt writes KiB)."""

_OS_DECLARED = frozenset(("type", "kernel", "initrd", "cmdline", "boot", "loader", "nvram", "firmware", "dtb"))
_LIVE_PREFIXES = ("link of interface ", "interface ", "memory in use")
"""Prefixes of the names of values that can change while the machine runs."""

CPU_MODEL = "cpu model"
CPU_FEATURE = "cpu feature "
"""Prefix of the names of the CPU's features."""

Values = Mapping[str, str]
"""Human-readable values by their human-readable names; without absent ones."""


def declared_values(domain: Element, macs: AbstractSet[str]) -> dict[str, str]:
    """The values of a definition that pragmaspec declares; of its interfaces, those with the addresses ``macs``."""
    values = {
        "name": domain.findtext("name", ""),
        "virtualisation": domain.get("type", ""),
        "memory": _memory(domain),
        "cpus": _cpus(domain),
        "clock": attribute(domain, "clock", "offset"),
        **{tag: domain.findtext(tag, "") for tag in ("on_poweroff", "on_reboot", "on_crash")},
        **_boot(domain),
        **{f"feature {name}": "on" for name in ("acpi", "apic") if domain.find(f"features/{name}") is not None},
        **_cpu(domain),
        **_cpu_shape(domain),
        **dict(_disks(domain, whole=True)),
        **dict(_interfaces(domain, macs, whole=True)),
        **dict(_other_devices(domain)),
    }
    return {name: value for name, value in values.items() if value}


def running_values(domain: Element, macs: AbstractSet[str]) -> dict[str, str]:
    """The values of a running machine that matter until its next start, without its size, which is observed separately."""
    memory, used = memory_kib(domain.find("memory")), memory_kib(domain.find("currentMemory"))
    values = {
        "name": domain.findtext("name", ""),
        "virtualisation": domain.get("type", ""),
        "memory in use": _mib(used) if used and used != memory else "",
        **{name: value for name, value in _boot(domain).items() if name in ("kernel", "initrd", "kernel command line")},
        **_cpu(domain),
        **dict(_disks(domain, whole=False)),
        **dict(_interfaces(domain, macs, whole=False)),
    }
    return {name: value for name, value in values.items() if value}


def differences(wanted: Element, defined: Element, active: Element | None) -> Iterator[Difference]:
    """Differences of a definition, and of its machine if that runs or its memory is saved, from ``wanted``.

    The file of the node's own disk is compared elsewhere: see :mod:`.disk_chain`.
    """
    macs = own_macs(wanted)
    recorded, has = declared_values(wanted, macs), declared_values(defined, macs)
    runs_recorded, runs = _compared_while_running(wanted, active, macs) if active is not None else ({}, {})
    for name in dict.fromkeys((*recorded, *has, *runs_recorded, *runs)):
        defined_as = _difference(name, recorded, has)
        runs_as = _difference(name, runs_recorded, runs) if active is not None else None
        if defined_as is not None and defined_as == runs_as:
            yield Difference(_describe(name, defined_as, ""), _repair(name, runs))
            continue
        if defined_as is not None:
            yield Difference(_describe(name, defined_as, " in its definition"))
        if runs_as is not None:
            yield Difference(_describe(name, runs_as, " while it runs"), _repair(name, runs), defined=False)


def _compared_while_running(wanted: Element, active: Element, macs: AbstractSet[str]) -> tuple[Values, Values]:
    """The values that a running machine should have, and has.

    Its XML lists every feature that its CPU has besides those of its model, also those that QEMU adds: compare the required ones.
    """
    recorded, has = running_values(wanted, macs), running_values(active, macs)
    compared = {name for name, value in recorded.items() if not name.startswith(CPU_FEATURE) or value == "require"}
    return (
        {name: value for name, value in recorded.items() if name in compared},
        {name: value for name, value in has.items() if name in compared or not name.startswith(CPU_FEATURE)},
    )


_Pair = tuple[str | None, str | None]
"""A found value, and the recorded one."""


def _difference(name: str, recorded: Values, has: Values) -> _Pair | None:
    """Both values of ``name`` if they differ. The settings of a missing device are not compared."""
    device = name.partition(" of ")[2]
    if name == f"disk {OWN_DISK}" or (device and device not in has):
        return None
    if name == "machine type" and (name not in recorded or recorded[name] in (has.get(name), _unversioned(has.get(name, "")))):
        return None  # A type includes every version of it; none leaves the choice to libvirt.
    if name.startswith(CPU_FEATURE) and has.get(CPU_MODEL) != recorded.get(CPU_MODEL):
        return None  # Another model has other features.
    return (has.get(name), recorded.get(name)) if has.get(name) != recorded.get(name) else None


def own_macs(wanted: Element) -> frozenset[str]:
    """The MAC addresses of the interfaces of a definition."""
    return frozenset(map(interface_mac, wanted.findall("devices/interface")))


OWN_DISK = "vda"
"""The target of the node's own disk."""
OWN_DISKS = (OWN_DISK, "vdb")
"""The targets of the node's own disk and of its seed."""
_EXTRA_TARGET = re.compile("vda[a-z]")


def memory_kib(element: Element | None) -> int:
    """An amount of memory in KiB; 0 when it is not given."""
    if element is None or not (element.text or "").strip().isdecimal():
        return 0
    return int(int((element.text or "").strip()) * _PER_KIB.get(element.get("unit", "KiB"), 1))


def source_of(device: Element) -> str:
    """The source of a disk or an interface: a file's path, ``network default``, ``bridge br0``."""
    source = device.find("source")
    if source is None:
        return ""
    if device.tag == "interface":
        kind = next((kind for kind in ("network", "bridge", "dev", "path") if source.get(kind)), "")
        return f"{kind} {source.get(kind)}" if kind else ""
    if source.get("volume"):
        return f"{source.get('pool')}/{source.get('volume')}"
    return next((source.get(name, "") for name in ("file", "dev", "dir", "name") if source.get(name)), "")


def disk_files(disk: Element) -> tuple[str, ...]:
    """The files of a disk in its definition, from the active one down its backing chain."""
    files = [source_of(disk)]
    backing = disk.find("backingStore")
    while backing is not None:
        files.append(source_of(backing))
        backing = backing.find("backingStore")
    return tuple(filter(None, files))


def disk_target(disk: Element) -> str:
    """The device name of a disk in the machine: ``vda``."""
    return attribute(disk, "target", "dev")


def interface_mac(interface: Element) -> str:
    """The MAC address of an interface, in lower case."""
    return attribute(interface, "mac", "address").lower()


def _repair(name: str, runs: Values) -> Repair:
    """The repair of a running machine: an existing interface is attached to another network while it runs."""
    return "live" if name.startswith(_LIVE_PREFIXES) and name in runs else "restart"


def _unversioned(machine: str) -> str:
    """``pc-q35-7.2`` → ``q35``."""
    kind = machine.rpartition("-")[0].removeprefix("pc-")
    return "pc" if kind == "i440fx" else kind


def _describe(name: str, pair: _Pair, where: str) -> str:
    has, recorded = pair
    if has is None:
        return f"{name} is missing{where}, recorded {recorded}"
    return f"{name} is {has}{where}, recorded {_default(name) if recorded is None else recorded}"


def _default(name: str) -> str:
    """The value that the absence of ``name`` from a generated definition implies."""
    return "up" if name.startswith("link of ") else "all of it" if name == "memory in use" else "none"


def _mib(amount_kib: int) -> str:
    mib, rest = divmod(amount_kib, KIB_PER_MIB)
    return f"{amount_kib} KiB" if rest else f"{mib} MiB"


def _memory(domain: Element) -> str:
    memory, used, maximum = (memory_kib(domain.find(tag)) for tag in ("memory", "currentMemory", "maxMemory"))
    text = _mib(memory)
    if used and used != memory:
        text += f" ({_mib(used)} in use)"
    if maximum:
        text += f", at most {_mib(maximum)}"
    modules = len(domain.findall("devices/memory"))
    return f"{text}, {modules} memory modules" if modules else text


def _cpus(domain: Element) -> str:
    maximum, current = domain.findtext("vcpu", "1").strip(), attribute(domain, "vcpu", "current")
    text = f"{current} of at most {maximum}" if current and current != maximum else maximum
    pinned = attribute(domain, "vcpu", "cpuset")
    return f"{text} on {pinned}" if pinned else text


def _boot(domain: Element) -> dict[str, str]:
    os = domain.find("os")
    if os is None:
        return {}
    kind = os.find("type")
    devices = [device for device in domain.findall("devices/*") if device.find("boot") is not None]
    per_device = sorted((int(attribute(each, "boot", "order") or 0), _device_name(each)) for each in devices)
    order = [boot.get("dev", "") for boot in os.findall("boot")] or [name for _, name in per_device] or ["hd"]
    more = sorted({child.tag for child in os} - _OS_DECLARED)
    return {
        "machine type": kind.get("machine", "") if kind is not None else "",
        "architecture": kind.get("arch", "") if kind is not None else "",
        "kernel": os.findtext("kernel", "").strip(),
        "initrd": os.findtext("initrd", "").strip(),
        "kernel command line": os.findtext("cmdline", "").strip(),
        "boot order": ", ".join(order),
        "firmware": os.get("firmware", "") or os.findtext("loader", "").strip(),
        "boot settings": ", ".join(more),
    }


def _device_name(device: Element) -> str:
    return disk_target(device) if device.tag == "disk" else interface_mac(device) or device.tag


def _cpu(domain: Element) -> dict[str, str]:
    """The model of the CPU, or its mode, and its features by their policies."""
    cpu = domain.find("cpu")
    if cpu is None:
        return {}
    model = cpu.findtext("model", "").strip()
    name = model if cpu.get("mode") == "custom" else cpu.get("mode", "") or model
    features = sorted((each.get("name", ""), each.get("policy", "require")) for each in cpu.findall("feature"))
    return {CPU_MODEL: name, **{f"{CPU_FEATURE}{feature}": policy for feature, policy in features}}


def _cpu_shape(domain: Element) -> dict[str, str]:
    topology = domain.find("cpu/topology")
    parts = () if topology is None else (topology.get(part, "1") for part in ("sockets", "cores", "threads"))
    return {"cpu topology": "/".join(parts), "numa cells": str(len(domain.findall("cpu/numa/cell")) or "")}


def _disks(domain: Element, *, whole: bool) -> Iterator[tuple[str, str]]:
    for disk in own_disks(domain):
        target = disk_label(disk)
        # Snapshots of a further disk are on top of its file, as are those of the node's own disk.
        yield f"disk {target}", disk_files(disk)[-1] if is_extra_disk(disk) and disk_files(disk) else source_of(disk)
        driver = disk.find("driver")
        drive = dict(driver.attrib) if driver is not None else {}
        settings = [disk.get("device", "disk"), attribute(disk, "target", "bus"), drive.pop("type", "raw")]
        settings += ["read-only"] if disk.find("readonly") is not None else []
        drive.pop("name", None)
        settings += [f"{name}={value}" for name, value in sorted(drive.items())] if whole else []
        yield f"settings of disk {target}", " ".join(filter(None, settings))


def own_disks(domain: Element) -> list[Element]:
    """The disks that pragmaspec declares: the node's own, its seed, and further ones."""
    return [disk for disk in domain.findall("devices/disk") if is_own_disk(disk)]


def is_own_disk(disk: Element) -> bool:
    """True for the node's own disk, its seed, and its further disks."""
    return disk_target(disk) in OWN_DISKS or is_extra_disk(disk)


def is_own_target(target: str) -> bool:
    """True for the targets of the disks that pragmaspec declares."""
    return target in OWN_DISKS or _EXTRA_TARGET.fullmatch(target) is not None


def is_extra_disk(disk: Element) -> bool:
    """True for a further disk of a node. A manually attached one has neither such a target nor a serial number."""
    return _EXTRA_TARGET.fullmatch(disk_target(disk)) is not None and bool(disk.findtext("serial", "").strip())


def extra_target(index: int) -> str:
    """The target of a node's further disk: one that a disk without a chosen target never gets."""
    return f"vda{chr(ord('a') + index)}"


def disk_label(disk: Element) -> str:
    """The name of a disk in texts: the serial number of a further one, else its target."""
    return disk.findtext("serial", "").strip() if is_extra_disk(disk) else disk_target(disk)


def _interfaces(domain: Element, macs: AbstractSet[str], *, whole: bool) -> Iterator[tuple[str, str]]:
    for interface in domain.findall("devices/interface"):
        mac = interface_mac(interface)
        if mac not in macs:
            continue
        yield f"interface {mac}", source_of(interface)
        link = attribute(interface, "link", "state")
        yield f"link of interface {mac}", "" if link == "up" else link
        if whole:
            settings = [attribute(interface, "model", "type"), *_prefixed("mtu", attribute(interface, "mtu", "size"))]
            yield f"settings of interface {mac}", " ".join(settings)


def _other_devices(domain: Element) -> Iterator[tuple[str, str]]:
    serial = domain.find("devices/serial")
    if serial is not None:
        log = attribute(serial, "log", "file")
        yield "serial console", f"{serial.get('type')} logged to {log}" if log else serial.get("type", "")
    rng = domain.find("devices/rng")
    if rng is not None:
        yield "random numbers", f"{rng.get('model')} from {rng.findtext('backend', '').strip()}"
    balloon = domain.find("devices/memballoon")
    if balloon is not None:
        yield "memory balloon", balloon.get("model", "")


def _prefixed(prefix: str, value: str) -> list[str]:
    return [f"{prefix} {value}"] if value else []


def attribute(element: Element, child: str, name: str) -> str:
    """An attribute of a child element; empty if there is none."""
    found = element.find(child)
    return found.get(name, "") if found is not None else ""
