"""Comparison of a domain with its recorded or wanted configuration: differences, manual additions, layers above its disk."""

from collections.abc import Iterator
from typing import NamedTuple

from pragmaspec.planning.observed import Difference, Layer, MachineStatus
from pragmaspec.providers.libvirt.domains.additions import additions, transient_additions
from pragmaspec.providers.libvirt.domains.definition import KIB_PER_MIB, differences, memory_kib
from pragmaspec.providers.libvirt.domains.disk_chain import extra_layers, layers, own_chain, snapshot_files
from pragmaspec.providers.libvirt.domains.host_devices import device_differences
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain, cpus
from pragmaspec.providers.libvirt.domains.pinning import pin_differences
from pragmaspec.providers.libvirt.domains.power_states import BOOTING, BY_USER, status_of
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, domain_element
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.host_cpus import vanished_cpus
from pragmaspec.providers.libvirt.host_devices import vanished_devices
from pragmaspec.providers.libvirt.metadata import domain_owner
from pragmaspec.providers.libvirt.xml import parse


class Comparison(NamedTuple):
    """The result of a comparison, with the field names of :class:`~pragmaspec.planning.observed.ObservedNode`."""

    differences: tuple[Difference, ...] = ()
    layers: tuple[Layer, ...] = ()
    additions: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    remedy: str = ""


def compare_domain(host: Host, domain: ObservedDomain, config: DomainConfig) -> Comparison:
    """Compare a domain with ``config``."""
    wanted = domain_element(config)
    named = _snapshots(domain)
    defined, active = own_chain(domain.definition), () if domain.active is None else own_chain(domain.active)
    both = (layers(files, config.disk, config.base, named, host.directory) for files in (active, defined))
    roots = (root for root in (domain.active, domain.definition) if root is not None)
    runs = domain.memory if domain.active is None else domain.active
    extra = (extra_layers(root, named, host.directory) for root in roots)
    found = tuple(dict.fromkeys(layer for each in (*both, *extra) for layer in each))
    above = {layer.snapshot for layer in found}
    others = [_describe_snapshot(name, named) for name in dict.fromkeys(named.values()) if name not in above]
    return Comparison(
        differences=(
            *differences(wanted, domain.definition, runs),
            *device_differences(wanted, domain.definition, runs),
            *vanished_devices(host, config.node),
            *pin_differences(wanted, domain.definition, runs),
            *vanished_cpus(host, config.node),
            *_other_differences(domain, config, defined, active),
            *_saved_size_difference(domain, config),
        ),
        layers=found,
        additions=(*additions(wanted, domain.definition), *others),
        passing=() if domain.active is None else transient_additions(wanted, domain.definition, domain.active),
        remedy=_remedy(host, domain, config, found),
    )


def power_status(domain: ObservedDomain, *, query_reason: bool, booting: bool = False) -> tuple[MachineStatus, str]:
    """The status of a domain and its reason. ``query_reason``: query libvirt also when it is simply off.

    ``booting``: a boot of it is in progress, or was interrupted; it stays paused until all domains booted with it are created.
    """
    if domain.unusual or (query_reason and not domain.running):
        state, reason = domain.handle.state()
        status, why = status_of(int(state), int(reason))
        return status, BOOTING if booting and why == BY_USER else why
    return ("running" if domain.running else "off"), ""


def _other_differences(
    domain: ObservedDomain, config: DomainConfig, defined: tuple[str, ...], active: tuple[str, ...]
) -> Iterator[Difference]:
    if not domain.defined:
        yield Difference("it is no longer defined, and will be gone once it is off")
    owner = domain_owner(domain.definition)
    if owner is None or not owner.is_for(config.mark) or owner.generation != config.mark.generation:
        yield Difference("its mark in <metadata> was changed")
    if active and defined[:1] != active[:1]:
        yield Difference(f"its disk is {active[0]} while it runs, and {defined[0] if defined else 'missing'} in its definition")
    elif not defined:
        yield Difference("its disk is missing in its definition", "restart")


def _saved_size_difference(domain: ObservedDomain, config: DomainConfig) -> Iterator[Difference]:
    """The difference in size of a machine whose memory is saved."""
    if domain.memory is not None:
        found = (cpus(domain.memory), memory_kib(domain.memory.find("memory")) // KIB_PER_MIB)
        if found != (config.node.cpus, config.node.memory_mib):
            detail = f"its saved memory is of a machine with {found[0]} cpus and {found[1]} MiB"
            yield Difference(detail, "restart", defined=False)


def _snapshots(domain: ObservedDomain) -> dict[str, str]:
    """The names of the domain's snapshots by the file that each created; by its own name for one without a file."""
    found: dict[str, str] = {}
    if domain.snapshots:
        for snapshot in domain.handle.listAllSnapshots(0):
            files = snapshot_files(parse(snapshot.getXMLDesc(0)))
            found |= files or {snapshot.getName(): snapshot.getName()}
    return found


def _describe_snapshot(name: str, named: dict[str, str]) -> str:
    files = [file for file, snapshot in named.items() if snapshot == name and file != name]
    return f"snapshot {name} (file {', '.join(files)})" if files else f"snapshot {name} (inside its disk)"


def _remedy(host: Host, domain: ObservedDomain, config: DomainConfig, found: tuple[Layer, ...]) -> str:
    """The command that merges the layers into the disk, which libvirt does while the machine runs."""
    if not found or not found[0].above or any(layer.file not in own_chain(domain.definition) for layer in found):
        return ""
    virsh = f"virsh -c {host.site.uri}"
    start = "" if domain.running else f"{virsh} start {domain.name} && "
    return f"{start}{virsh} blockcommit {domain.name} vda --base {config.disk} --active --pivot --wait"
