"""The host CPUs of pinned nodes at one site, chosen at plan time. Pure.

A pinned node has a host CPU of its own for each virtual CPU, all on one NUMA node, whole cores first. A recorded node keeps its
CPUs while the host has them and no other machine runs with them. A CPU is in use by every pinned machine, also by one that is
off; one that this plan releases is free for the next plan only. The first cores of the host are its reserve.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence

from msgspec.structs import replace

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.allocation.part_users import PartUsers
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.observed import HostCpu, Inventory
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import UNCHOSEN, Node
from pragmaspec.site import Site
from pragmaspec.state_model import State
from pragmaspec.text import counted, few, joined

MAX_HOLDERS = 5
"""Number of users that an error names."""
MAX_NODES = 3
"""Number of nodes that an error names."""


class CpuChooser:
    """Chooses the host CPUs of the pinned nodes at ``site`` while one plan is made."""

    def __init__(self, site: Site, inventory: Inventory, state: State, wanted: Wanted) -> None:
        self._wanted = wanted
        self._site = site
        self._can_pin = inventory.host_cpus is not None
        self._cpus = {cpu.id: cpu for cpu in inventory.host_cpus or ()}
        self._reserved = reserved_cpus(inventory.host_cpus or (), site.reserve.cpus)
        recorded = {cpu: node.address for node in state.nodes() if node.site == site.name and node.pinned for cpu in node.pinned}
        self._users = PartUsers(state.lineage, recorded, ((int(use.value), use) for use in inventory.cpu_uses))
        self._lacking: list[tuple[Node, Where | None]] = []
        """The nodes that get no host CPUs, and their lines of the spec."""

    def chosen(self, desired: list[Desired]) -> list[Desired]:
        """Return ``desired`` with the host CPUs of the pinned nodes that are to run."""
        nodes = [(index, entry.resource) for index, entry in enumerate(desired) if isinstance(entry.resource, Node)]
        pinned = [(index, node) for index, node in nodes if node.pinned and node.running and node.site == self._site.name]
        choosing = [(index, node) for index, node in pinned if not self._keeps(node)]
        found = list(desired)
        for index, node in choosing:
            cpus = self._choice(node)
            self._users.take(cpus, node.address)
            found[index] = desired[index]._replace(resource=replace(node, pinned=cpus or (UNCHOSEN,) * node.cpus))
            if not cpus:
                self._lacking.append((node, desired[index].where))
        return found

    def problems(self, selected: Container[str]) -> Iterator[Problem]:
        """Yield a problem if a node of ``selected``, the addresses that the plan includes, gets no host CPUs."""
        lacking = [(node, where) for node, where in self._lacking if node.address in selected]
        if not lacking:
            return
        names = joined([node.name for node, _ in lacking], MAX_NODES)
        first, line = lacking[0]
        where = self._wanted.where_of(first, "pin") or line
        if not self._can_pin:
            yield Problem(
                summary="The site cannot pin nodes",
                detail=f"{names} {'wants' if len(lacking) == 1 else 'want'} host CPUs of their own, and site {self._site.name} "
                "does not let machines choose them. Remove `pin`, or use another site.",
                where=where,
            )
            return
        yield Problem(
            summary="Not enough CPUs to pin",
            detail=f"{names} of {counted(first.cpus, 'cpu')} cannot be pinned at site {self._site.name}: "
            f"{self._free_text()}. {self._users_text()}Request fewer, or release some: a machine that is off keeps its CPUs, and "
            "those that this plan releases are free for the next one.",
            where=where,
        )

    def _keeps(self, node: Node) -> bool:
        """True if the node keeps its CPUs, which are then taken."""
        if any(cpu not in self._cpus or self._users.runs_elsewhere(cpu, node.address) for cpu in node.pinned):
            return False
        self._users.take(node.pinned, node.address)
        return True

    def _choice(self, node: Node) -> tuple[int, ...]:
        """Return the CPUs for ``node`` in the NUMA node where the fewest are free that suffice; none if there is none."""
        fitting = [free for free in self._free_by_cell(node.address).values() if len(free) >= node.cpus]
        cell = min(fitting, key=lambda free: (len(free), free[0].id), default=[])
        return self._whole_cores_first(cell, node.cpus)

    def _free_by_cell(self, node: str) -> dict[int, list[HostCpu]]:
        found: defaultdict[int, list[HostCpu]] = defaultdict(list)
        for cpu in sorted(self._cpus.values(), key=lambda cpu: (cpu.core, cpu.id)):
            if cpu.id not in self._reserved and self._users.is_free(cpu.id, node):
                found[cpu.cell].append(cpu)
        return found

    def _whole_cores_first(self, free: Sequence[HostCpu], count: int) -> tuple[int, ...]:
        """Return ``count`` CPUs of ``free``: as many whole cores as fit, then threads of cores that are in use already."""
        sizes: defaultdict[int, int] = defaultdict(int)
        for cpu in self._cpus.values():
            sizes[cpu.core] += 1
        cores: defaultdict[int, list[int]] = defaultdict(list)
        for cpu in free:
            cores[cpu.core].append(cpu.id)
        chosen: list[int] = []
        whole = [core for core, threads in cores.items() if len(threads) == sizes[core]]
        for core in whole:
            if len(cores[core]) <= count - len(chosen):
                chosen += cores.pop(core)
        rest = sorted(cores, key=lambda core: (len(cores[core]) == sizes[core], core))
        chosen += [cpu for core in rest for cpu in cores[core]][: count - len(chosen)]
        return tuple(chosen)

    def _free_text(self) -> str:
        free = {cell: len(cpus) for cell, cpus in self._free_by_cell("").items()}
        cells = sorted({cpu.cell for cpu in self._cpus.values()})
        total = f"of {counted(len(self._cpus), 'cpu')}, {len(self._reserved)} are reserved for the host and "
        if len(cells) == 1:
            return f"{total}{sum(free.values())} are free"
        return total + "free are " + few([f"{free.get(cell, 0)} of NUMA node {cell}" for cell in cells], MAX_HOLDERS)

    def _users_text(self) -> str:
        users: defaultdict[str, list[int]] = defaultdict(list)
        for cpu in self._cpus:
            for name in self._users.names(cpu):
                users[name].append(cpu)
        texts = [f"{cpu_ranges(tuple(cpus))} by {owner}" for owner, cpus in users.items()]
        return f"In use: {few(texts, MAX_HOLDERS)}. " if texts else ""


def reserved_cpus(cpus: Sequence[HostCpu], count: int) -> frozenset[int]:
    """Return the ``count`` host CPUs that are reserved for the host: those of its first cores."""
    ordered = sorted(cpus, key=lambda cpu: (cpu.cell, cpu.core, cpu.id))
    return frozenset(cpu.id for cpu in ordered[:count])
