"""The processors that machines of a host may have, as libvirt reports them for its hypervisor.

Format: https://libvirt.org/formatdomaincaps.html. The host is asked once for each way of virtualisation.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

import libvirt

from pragmaspec.providers.libvirt.domains.processor import HOST, LEVELS, VirtType, processor_element
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parse, to_text

_LEVEL_NAMES = tuple(level.name for level in LEVELS)
_DEFAULTS = ("x86-64-v3", "x86-64-v2", "x86-64")
"""Defaults of new machines, best first. Many servers lack v4, also newer ones, so that it is never a default."""
_EMULATED_DEFAULTS = _DEFAULTS[1:]
"""Those of emulated machines, which are no faster with v3; a QEMU before 7.2 cannot emulate it."""
_GIVES = (libvirt.VIR_CPU_COMPARE_IDENTICAL, libvirt.VIR_CPU_COMPARE_SUPERSET)


class OfferedProcessors(NamedTuple):
    """The processors of a host (None: not reported), levels first, and the one of new machines (empty: the host decides)."""

    names: tuple[str, ...] | None
    default: str = ""


def offered_processors(host: Host) -> OfferedProcessors:
    """The processors that ``host`` can give.

    Before the first boot has shown whether KVM works there, these are the ones that both KVM and emulation can give: then a plan
    that is made now can be applied in either case. KVM without any level does not work.
    """
    virt_type = host.known_virt_type
    if virt_type == "test":
        # It runs nothing, so that everything runs there.
        return OfferedProcessors((*_LEVEL_NAMES, HOST), "x86-64-v2")
    if virt_type is not None:
        return _chosen(_given(host, virt_type), _EMULATED_DEFAULTS if virt_type == "qemu" else _DEFAULTS)
    accelerated, emulated = _given(host, "kvm"), _given(host, "qemu")
    if host.platform().arch == "x86_64" and accelerated and accelerated[0] not in _LEVEL_NAMES:
        return _chosen(emulated, _EMULATED_DEFAULTS)
    return _chosen(tuple(name for name in accelerated if name in emulated), _DEFAULTS)


def _chosen(names: tuple[str, ...], defaults: Collection[str]) -> OfferedProcessors:
    return OfferedProcessors(names or None, next((level for level in defaults if level in names), ""))


def _given(host: Host, virt_type: VirtType) -> tuple[str, ...]:
    """The processors that machines of one type may have: levels, ``host``, and models; none if libvirt does not tell."""
    if virt_type not in host.processors:
        host.processors[virt_type] = tuple(_ask(host, virt_type))
    return host.processors[virt_type]


def _ask(host: Host, virt_type: VirtType) -> Iterator[str]:
    arch, board = host.platform().arch, host.platform().board
    with ignoring(libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED):
        cpu = parse(host.handle().getDomainCapabilities(None, arch, board, virt_type, 0)).find("cpu")
        if cpu is None:
            return
        if arch == "x86_64":
            yield from (level for level in _LEVEL_NAMES if _has(host, level, virt_type))
        supported = {mode.get("name") for mode in cpu.findall("mode[@supported='yes']")}
        if processor_element(HOST, virt_type, arch).get("mode") in supported:
            yield HOST
        models = cpu.findall("mode[@name='custom'][@supported='yes']/model[@usable='yes']")
        yield from sorted({model.text for model in models if model.text})


def _has(host: Host, level: str, virt_type: VirtType) -> bool:
    """True if the hypervisor has every feature of ``level``. A libvirt that cannot compare, or lacks one of them, gives none."""
    platform = host.platform()
    wanted = to_text(processor_element(level, virt_type, platform.arch))
    with ignoring(
        libvirt.VIR_ERR_NO_SUPPORT,
        libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
        libvirt.VIR_ERR_CPU_INCOMPATIBLE,
        libvirt.VIR_ERR_INTERNAL_ERROR,
    ):
        return host.handle().compareHypervisorCPU(None, platform.arch, platform.board, virt_type, wanted, 0) in _GIVES
    return False
