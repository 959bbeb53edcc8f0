"""Host CPUs that nodes request for themselves, before they are chosen. Pure."""

from pragmaspec.resources import UNCHOSEN, Node


def requested_cpus(cpus: int, recorded: Node | None) -> tuple[int, ...]:
    """Return the host CPUs of a node with ``cpus``: the recorded ones, or those to choose if their number is another."""
    if recorded is not None and len(recorded.pinned) == cpus:
        return recorded.pinned
    return (UNCHOSEN,) * cpus


def lacks_host_cpus(cpus: int, node: Node) -> bool:
    """True if the recorded ``node`` does not have a host CPU for each of ``cpus``."""
    return len(node.pinned) != cpus


def cpu_ranges(cpus: tuple[int, ...]) -> str:
    """Return ``2-5,8``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][1] + 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in parts)
