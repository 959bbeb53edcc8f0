"""The ``<cpu>`` of a machine whose node names its processor, and the levels of x86-64. Pure.

Format: https://libvirt.org/formatdomain.html#cpu-model-and-topology. ``check="partial"`` makes libvirt compare the model and
every required feature with those of the hypervisor before it starts the machine, and refuse it if one is missing. ``none`` would
start it without them, and ``full`` refuses every machine with a feature that QEMU adds itself, such as ``hypervisor``.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple
from xml.etree.ElementTree import Element, SubElement

VirtType = Literal["kvm", "qemu", "test"]
"""libvirt's ``<domain type>``: KVM, emulation (TCG), or the test driver."""

HOST = "host"
"""All features of the host's processor; of an emulated one, all that the emulator has."""
PC = ("x86_64", "i686")
"""Architectures of PCs, whose models libvirt compares with the host."""


class Level(NamedTuple):
    """A level of x86-64: its name, a model that has all of its features, and these features beyond those of every x86-64."""

    name: str
    model: str
    features: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    """Features of the model that the level does not need, and that not every host of the level has."""


# https://gitlab.com/x86-psABIs/x86-64-ABI, "Micro-Architecture Levels", in the names of libvirt's cpu_map/x86_features.xml:
# CMPXCHG16B LAHF-SAHF POPCNT SSE3 SSE4_1 SSE4_2 SSSE3
_V2 = ("cx16", "lahf_lm", "popcnt", "pni", "sse4.1", "sse4.2", "ssse3")
# AVX AVX2 BMI1 BMI2 F16C FMA LZCNT MOVBE OSXSAVE (which the guest's kernel sets, with xsave)
_V3 = (*_V2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave")
_V4 = (*_V3, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
_HASWELL_SURPLUS = ("erms", "invpcid", "pcid", "tsc-deadline", "x2apic")
"""Features of Haswell that emulation or older processors of AMD lack. None is an instruction of programs."""

LEVELS = (
    Level("x86-64", "kvm64"),
    Level("x86-64-v2", "Nehalem", _V2),
    # Some libraries choose their code by the model, so it is the first one of the level rather than Nehalem with more features.
    Level("x86-64-v3", "Haswell-noTSX", _V3, _HASWELL_SURPLUS),
    Level("x86-64-v4", "Haswell-noTSX", _V4, _HASWELL_SURPLUS),
)
_LEVELS: Mapping[str, Level] = MappingProxyType({level.name: level for level in LEVELS})

_MITIGATIONS = ("amd-ssbd", "ibpb", "md-clear", "pcid", "spec-ctrl", "ssbd", "stibp", "virt-ssbd")
"""Features of hosts with which the guest's kernel mitigates Meltdown, Spectre and MDS. None is an instruction of programs."""


def processor_element(processor: str, virt_type: VirtType, arch: str) -> Element:
    """The ``<cpu>`` of a machine with ``processor``: ``host``, a level, or a model of libvirt."""
    if processor == HOST:
        # No single feature is promised.
        return Element("cpu", {"mode": "maximum" if virt_type == "qemu" else "host-passthrough", "check": "none"})
    level = _LEVELS.get(processor, Level(processor, processor))
    cpu = Element("cpu", {"mode": "custom", "match": "exact", "check": "partial" if arch in PC else "none"})
    SubElement(cpu, "model", {"fallback": "forbid"}).text = level.model
    optional = {*level.surplus, *(_MITIGATIONS if virt_type == "kvm" and processor in _LEVELS else ())}
    policies = {**dict.fromkeys(optional, "optional"), **dict.fromkeys(level.features, "require")}
    for name, policy in sorted(policies.items()):
        SubElement(cpu, "feature", {"policy": policy, "name": name})
    return cpu
