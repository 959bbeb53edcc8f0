"""The parts of hosts that nodes have for themselves: devices and CPUs, chosen for all sites of a plan. Pure."""

from collections.abc import Container, Iterable, Iterator, Mapping

from pragmaspec.errors import Problem
from pragmaspec.planning.allocation.device_requests import lacks_devices
from pragmaspec.planning.allocation.devices import DeviceChooser
from pragmaspec.planning.allocation.pin_requests import lacks_host_cpus
from pragmaspec.planning.allocation.pinning import CpuChooser
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.observed import Inventory
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedNodes
from pragmaspec.resources import Node
from pragmaspec.state_model import State


class HostPartsChooser:
    """Chooses the devices and CPUs of the nodes of ``clusters`` while one plan is made; nothing if none of them wants any."""

    def __init__(
        self, wanted: Wanted, clusters: Iterable[WantedCluster], inventories: Mapping[str, Inventory], state: State
    ) -> None:
        sites = [site for site in wanted.sites if site.name in inventories]
        settings = [nodes for cluster in clusters for _, named in cluster.sets for nodes in named.variants]
        self._choosers: dict[str, list[DeviceChooser | CpuChooser]] = {site.name: [] for site in sites}
        for site in sites:
            inventory = inventories[site.name]
            if any(nodes.devices for nodes in settings):
                self._choosers[site.name].append(DeviceChooser(site.name, inventory, state, wanted))
            if any(nodes.pin for nodes in settings):
                self._choosers[site.name].append(CpuChooser(site, inventory, state, wanted))

    def chosen(self, desired: list[Desired]) -> list[Desired]:
        """Return ``desired`` with the devices and CPUs of the nodes that are to run."""
        for choosers in self._choosers.values():
            for chooser in choosers:
                desired = chooser.chosen(desired)
        return desired

    def problems(self, site: str, selected: Container[str]) -> Iterator[Problem]:
        """Yield the shortages at ``site``. ``selected``: the addresses that the plan includes."""
        for chooser in self._choosers.get(site, ()):
            yield from chooser.problems(selected)


def lacks_host_parts(nodes: WantedNodes, node: Node) -> bool:
    """True if the recorded ``node`` has fewer devices, or other numbers of pinned CPUs, than ``nodes`` want."""
    cpus = node.cpus if node.flavor else nodes.cpus
    return bool((nodes.devices and lacks_devices(nodes, node)) or (nodes.pin and lacks_host_cpus(cpus, node)))
