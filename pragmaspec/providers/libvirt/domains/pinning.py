"""Pinned CPUs in the XML of a domain: written, read, compared, and repaired while it runs.

The owner mark records that the pins are ours, so that they are removed with the record, and those of other domains are kept.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from xml.etree.ElementTree import Element, SubElement

import libvirt

from pragmaspec.frozen import Frozen
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.observed import Difference, Repair
from pragmaspec.providers.libvirt.domains.definition import attribute
from pragmaspec.providers.libvirt.metadata import is_owner

_MARK = "pinned"
_PINS = frozenset(("vcpupin", "emulatorpin"))
_VCPU = "virtual CPU "
_EMULATOR = "emulator"
_MEMORY = "memory on NUMA node"


class CpuPin(Frozen, frozen=True):
    """The host CPUs of a domain: one for each virtual CPU, those of QEMU's other threads, and the NUMA node of its memory."""

    cpus: tuple[int, ...]
    emulator: tuple[int, ...] = ()
    """None: any."""
    cell: int | None = None
    """None: any."""


def add_pin(domain: Element, pin: CpuPin) -> None:
    """Add the pinned CPUs to a definition that has its owner mark."""
    tune = SubElement(domain, "cputune")
    for index, cpu in enumerate(pin.cpus):
        SubElement(tune, "vcpupin", {"vcpu": str(index), "cpuset": str(cpu)})
    if pin.emulator:
        SubElement(tune, "emulatorpin", {"cpuset": cpu_ranges(pin.emulator)})
    if pin.cell is not None:
        SubElement(SubElement(domain, "numatune"), "memory", {"mode": "strict", "nodeset": str(pin.cell)})
    for owner in filter(is_owner, domain.findall("metadata/*")):
        owner.set(_MARK, "yes")


def is_pinned(domain: Element) -> bool:
    """True if the domain has pinned CPUs of ours."""
    return any(owner.get(_MARK) for owner in filter(is_owner, domain.findall("metadata/*")))


def manual_part(section: Element, *, pinned: bool) -> Element | None:
    """Return the part of a section that is not ours in a domain whose CPUs we pin; None if all of it is."""
    if not pinned or section.tag not in ("cputune", "numatune"):
        return section
    if section.tag == "numatune":
        return None
    part = deepcopy(section)
    for child in [each for each in part if each.tag in _PINS]:
        part.remove(child)
    return part if len(part) else None


def add_section(domain: Element, section: Element) -> None:
    """Add a section to a definition, or its children to the section that the definition has already."""
    own = domain.find(section.tag) if section.tag == "cputune" else None
    if own is None:
        domain.append(deepcopy(section))
    else:
        own.extend(deepcopy(child) for child in section)


def used_cpus(domain: Element, every: frozenset[int]) -> frozenset[int]:
    """Return the host CPUs that a domain is bound to; a set of all of the host's CPUs (``every``) is no binding."""
    sets = [pin.get("cpuset", "") for pin in domain.findall("cputune/vcpupin")] or [attribute(domain, "vcpu", "cpuset")]
    found = [cpus for cpus in map(cpu_set, sets) if not cpus >= every]
    return frozenset(cpu for cpus in found for cpu in cpus)


def cpu_set(text: str) -> frozenset[int]:
    """Return the CPUs of a set such as ``0-3,^2,8``."""
    cpus: set[int] = set()
    for part in filter(None, text.replace(" ", "").split(",")):
        first, _, last = part.removeprefix("^").partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            named = range(int(first), int(last or first) + 1)
            cpus = cpus - set(named) if part.startswith("^") else cpus | set(named)
    return frozenset(cpus)


def pin_differences(wanted: Element, defined: Element, active: Element | None) -> Iterator[Difference]:
    """Yield the differences in pinned CPUs from ``wanted``. Those that we have not pinned are manual additions."""
    ours = is_pinned(wanted)
    recorded = _pins(wanted)
    has = _pins(defined) if ours or is_pinned(defined) else {}
    runs = _pins(active) if active is not None and (ours or is_pinned(active)) else {}
    for name in dict.fromkeys((*recorded, *has, *runs)):
        want, in_definition, running = (values.get(name, "") for values in (recorded, has, runs))
        where = [want != in_definition, active is not None and want != running]
        repair: Repair = "live" if want and name != _MEMORY else "restart"
        if where[1]:
            suffix = "" if where[0] and in_definition == running else " while it runs"
            yield Difference(_describe(name, running, want, suffix), repair, defined=not suffix)
        if where[0] and not (where[1] and in_definition == running):
            yield Difference(_describe(name, in_definition, want, " in its definition"))


def pin_live(handle: libvirt.virDomain, wanted: Element, active: Element) -> None:
    """Pin the threads of a running machine as in ``wanted``."""
    recorded, runs = _pins(wanted), _pins(active)
    for name, text in recorded.items():
        if runs.get(name) == text or name == _MEMORY:
            continue
        cpus = cpu_set(text)
        places = tuple(cpu in cpus for cpu in range(max(cpus) + 1))
        if name == _EMULATOR:
            handle.pinEmulator(places, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        else:
            handle.pinVcpuFlags(int(name.removeprefix(_VCPU)), places, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _pins(domain: Element) -> Mapping[str, str]:
    """Return host CPUs by thread, and the NUMA node of the memory, as texts that are equal for equal sets."""
    found = {f"{_VCPU}{pin.get('vcpu')}": pin.get("cpuset", "") for pin in domain.findall("cputune/vcpupin")}
    found[_EMULATOR] = attribute(domain, "cputune/emulatorpin", "cpuset") if domain.find("cputune") is not None else ""
    found[_MEMORY] = attribute(domain, "numatune/memory", "nodeset")
    return {name: cpu_ranges(tuple(cpu_set(text))) for name, text in found.items() if text}


def _describe(name: str, has: str, recorded: str, where: str) -> str:
    what = name if name == _MEMORY else f"{name} is pinned to"
    return f"{what} {has or 'none'}{where}, recorded {recorded or 'none'}"
