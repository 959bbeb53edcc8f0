"""A domain compared with its recorded or wanted definition: differences, manual additions, files that hold its data."""

from collections.abc import Iterator
from typing import NamedTuple

from pragmaspec.planning.observed import Difference, Layer, MachineStatus
from pragmaspec.providers.libvirt.domains.additions import additions, passing_additions
from pragmaspec.providers.libvirt.domains.definition import KIB_PER_MIB, differences, kib
from pragmaspec.providers.libvirt.domains.disk_chain import layers, own_chain, snapshot_files
from pragmaspec.providers.libvirt.domains.lookup import ObservedDomain, cpus
from pragmaspec.providers.libvirt.domains.power_states import BOOTING, BY_USER, status_of
from pragmaspec.providers.libvirt.domains.xml import DomainConfig, domain_element
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.metadata import domain_owner
from pragmaspec.providers.libvirt.xml import parsed


class Comparison(NamedTuple):
    """Result of comparing a domain with its intended definition."""

    differences: tuple[Difference, ...] = ()
    layers: tuple[Layer, ...] = ()
    additions: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    remedy: str = ""


def compared(host: Host, seen: ObservedDomain, parts: DomainConfig) -> Comparison:
    """``seen`` held against ``parts``."""
    wanted = domain_element(parts)
    named = _snapshots(seen)
    defined, active = own_chain(seen.definition), () if seen.active is None else own_chain(seen.active)
    both = (layers(files, parts.disk, parts.base, named, host.directory) for files in (active, defined))
    found = tuple(dict.fromkeys(layer for each in both for layer in each))
    above = {layer.snapshot for layer in found}
    others = [_snapshot_words(name, named) for name in dict.fromkeys(named.values()) if name not in above]
    return Comparison(
        differences=(
            *differences(wanted, seen.definition, seen.memory if seen.active is None else seen.active),
            *_other_facts(seen, parts, defined, active),
            *_saved_size(seen, parts),
        ),
        layers=found,
        additions=(*additions(wanted, seen.definition), *others),
        passing=() if seen.active is None else passing_additions(wanted, seen.definition, seen.active),
        remedy=_remedy(host, seen, parts, found),
    )


def power_of(seen: ObservedDomain, *, asked: bool, booting: bool = False) -> tuple[MachineStatus, str]:
    """The status of ``seen`` and why; of one that is off without any doubt libvirt is asked for the reason if ``asked``.

    ``booting``: a boot of it is under way, or was interrupted. It is held paused until all that are booted with it are made.
    """
    if seen.unusual or (asked and not seen.running):
        state, reason = seen.handle.state()
        status, why = status_of(int(state), int(reason))
        return status, BOOTING if booting and why == BY_USER else why
    return ("running" if seen.running else "off"), ""


def _other_facts(
    seen: ObservedDomain, parts: DomainConfig, defined: tuple[str, ...], active: tuple[str, ...]
) -> Iterator[Difference]:
    if not seen.defined:
        yield Difference("it is no longer defined, so that it is gone once it is off")
    owner = domain_owner(seen.definition)
    if owner is None or not owner.is_for(parts.mark) or owner.generation != parts.mark.generation:
        yield Difference("its mark in <metadata> is not the one that it was given")
    if active and defined[:1] != active[:1]:
        yield Difference(f"its disk is {active[0]} while it runs, and {defined[0] if defined else 'missing'} in its definition")
    elif not defined:
        yield Difference("its disk is missing in its definition", "restart")


def _saved_size(seen: ObservedDomain, parts: DomainConfig) -> Iterator[Difference]:
    """Where the saved memory is of a machine of another size."""
    if seen.memory is not None:
        found = (cpus(seen.memory), kib(seen.memory.find("memory")) // KIB_PER_MIB)
        if found != (parts.node.cpus, parts.node.memory_mib):
            detail = f"its saved memory is of a machine with {found[0]} cpus and {found[1]} MiB"
            yield Difference(detail, "restart", defined=False)


def _snapshots(seen: ObservedDomain) -> dict[str, str]:
    """Names of the snapshots of a domain by the file that each has made; by its own name for one that has made none."""
    found: dict[str, str] = {}
    if seen.snapshots:
        for snapshot in seen.handle.listAllSnapshots(0):
            files = snapshot_files(parsed(snapshot.getXMLDesc(0)))
            found |= files or {snapshot.getName(): snapshot.getName()}
    return found


def _snapshot_words(name: str, named: dict[str, str]) -> str:
    files = [file for file, snapshot in named.items() if snapshot == name and file != name]
    return f"snapshot {name} (file {', '.join(files)})" if files else f"snapshot {name} (inside its disk)"


def _remedy(host: Host, seen: ObservedDomain, parts: DomainConfig, found: tuple[Layer, ...]) -> str:
    """How the layers are merged into the disk, which libvirt does while the machine runs."""
    if not found or not found[0].above:
        return ""
    virsh = f"virsh -c {host.site.uri}"
    start = "" if seen.running else f"{virsh} start {seen.name} && "
    return f"{start}{virsh} blockcommit {seen.name} vda --base {parts.disk} --active --pivot --wait"
