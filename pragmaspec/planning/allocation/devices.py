"""The physical devices of nodes at one site, chosen at plan time. Pure.

A recorded node keeps its devices while the site has them, by whatever alias, and no other machine runs with them. Others get the
first free device of the alias. A device is in use by every machine that has it in its definition, because it needs the device to
start; one that this plan releases is free for the next plan only, because a plan boots before it removes.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.planning.allocation.device_requests import device_addresses
from pragmaspec.planning.allocation.part_users import PartUsers
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.observed import HostDevice, Inventory
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node, NodeDevice
from pragmaspec.state_model import State
from pragmaspec.text import did_you_mean, few, joined

MAX_HOLDERS = 5
"""Number of devices that an error describes."""
MAX_ALIASES = 12
"""Number of aliases that an error names."""


class _Lack(NamedTuple):
    """A node without some of its devices: the number that is missing of one alias."""

    entry: Desired
    alias: str
    missing: int


class DeviceChooser:
    """Chooses the devices of the nodes at ``site`` while one plan is made."""

    def __init__(self, site: str, inventory: Inventory, state: State, wanted: Wanted) -> None:
        self._wanted = wanted
        self._site = site
        self._inventory = inventory
        self._devices = {device.address: device for device in inventory.host_devices}
        recorded = [node for node in state.nodes() if node.site == site and node.devices]
        users = {device: node.address for node in recorded for device in device_addresses(node)}
        self._users = PartUsers(state.lineage, users, ((use.value, use) for use in inventory.device_uses))
        self._has: defaultdict[str, set[str]] = defaultdict(set)
        """Devices by the address of the node of this stack that has them, recorded or attached by hand."""
        for device, user in users.items():
            self._has[user].add(device)
        for use in inventory.device_uses:
            if use.lineage == state.lineage and use.address:
                self._has[use.address].add(use.value)
        self._unused: dict[str, list[str]] = {}
        self._lacking: list[_Lack] = []

    def chosen(self, desired: list[Desired]) -> list[Desired]:
        """Return ``desired`` with the devices of the nodes that are to run. A node of a flavor gets its devices with it."""
        if self._inventory.flavors is not None:
            return desired
        choosing = [(index, entry.resource) for index, entry in enumerate(desired) if isinstance(entry.resource, Node)]
        choosing = [(index, node) for index, node in choosing if node.devices and node.running and node.site == self._site]
        kept = [self._kept(node) for _, node in choosing]
        found = list(desired)
        for (index, node), addresses in zip(choosing, kept, strict=True):
            found[index] = self._completed(desired[index], node, addresses)
        return found

    def problems(self, selected: Container[str]) -> Iterator[Problem]:
        """Yield a problem per unknown alias and line of the spec, and one per alias of which the site has too few.

        ``selected``: the addresses that the plan includes.
        """
        short: defaultdict[str, list[_Lack]] = defaultdict(list)
        unknown = set()
        for lack in self._lacking:
            key = (lack.alias, lack.entry.where)
            if lack.entry.resource.address not in selected or key in unknown:
                continue
            if lack.alias in self._inventory.device_aliases:
                short[lack.alias].append(lack)
            else:
                unknown.add(key)
                yield self._unknown(lack)
        for alias, lacks in short.items():
            yield self._shortage(alias, lacks)

    def _kept(self, node: Node) -> tuple[str, ...]:
        """Return the addresses that the node keeps, in the order of its devices; empty: to be chosen."""
        kept = []
        for device in node.devices:
            known = self._devices.get(device.address)
            usable = known is not None and not known.problem and not self._users.runs_elsewhere(device.address, node.address)
            kept.append(device.address if usable else "")
        self._users.take(filter(None, kept), node.address)
        return tuple(kept)

    def _completed(self, entry: Desired, node: Node, kept: tuple[str, ...]) -> Desired:
        devices: list[NodeDevice] = []
        lacking: defaultdict[str, int] = defaultdict(int)
        for device, address in zip(node.devices, kept, strict=True):
            found = address or self._choice(device.alias, node.address)
            if not found:
                lacking[device.alias] += 1
            devices.append(NodeDevice(alias=device.alias, address=found))
        if lacking:
            written = entry._replace(where=self._wanted.where_of(node, "devices") or entry.where)
            self._lacking += (_Lack(written, alias, count) for alias, count in lacking.items())
        devices.sort(key=lambda device: (device.alias, device.address))
        after = tuple(devices)
        return entry if after == node.devices else entry._replace(resource=replace(node, devices=after))

    def _choice(self, alias: str, node: str) -> str:
        """Return the address of a free device, empty if there is none.

        Those that the node has already come first: under another alias, or attached by hand.
        """
        own = (self._devices[address] for address in sorted(self._has.get(node, ())) if address in self._devices)
        chosen = next((each.address for each in own if alias in each.aliases and self._is_free(each, node)), "")
        chosen = chosen or self._first_unused(alias)
        if chosen:
            self._users.take((chosen,), node)
        return chosen

    def _first_unused(self, alias: str) -> str:
        """Return the address of the first device of ``alias`` that no machine has, and empty if there is none."""
        if alias not in self._unused:
            free = [each.address for each in self._devices.values() if alias in each.aliases and self._is_free(each, "")]
            self._unused[alias] = sorted(free, reverse=True)
        unused = self._unused[alias]
        while unused:
            address = unused.pop()
            if not self._users.is_taken(address):
                return address
        return ""

    def _is_free(self, device: HostDevice, node: str) -> bool:
        return not device.problem and self._users.is_free(device.address, node)

    def _unknown(self, lack: _Lack) -> Problem:
        name = lack.entry.resource.address.rpartition("/")[2]
        aliases = self._inventory.device_aliases
        known = f"It defines {joined(aliases, MAX_ALIASES)}. Write one of these, or define it in the site's `devices:`."
        if not aliases:
            known = "It defines none. Define it in the site's `devices:`, or use another site."
        hint = did_you_mean(lack.alias, aliases, known)
        return Problem(
            summary="Unknown device",
            detail=f"{name} wants the device {lack.alias}, which site {self._site} does not define. {hint}",
            where=lack.entry.where,
        )

    def _shortage(self, alias: str, lacks: Iterable[_Lack]) -> Problem:
        lacks = list(lacks)
        missing = sum(lack.missing for lack in lacks)
        names = joined([lack.entry.resource.address.rpartition("/")[2] for lack in lacks], MAX_HOLDERS)
        here = sorted((each for each in self._devices.values() if alias in each.aliases), key=lambda device: device.address)
        states = few([self._state_of(device) for device in here], MAX_HOLDERS)
        has = f"it has {len(here)}: {states}" if here else "it has none"
        return Problem(
            summary="Not enough devices",
            detail=f"Site {self._site} is {missing} {alias} short for {names}: {has}. Request fewer, or release some: a machine "
            "that is off keeps its devices, and a device that this plan releases is free for the next one.",
            where=lacks[0].entry.where,
        )

    def _state_of(self, device: HostDevice) -> str:
        """Return ``0000:41:00.0 is used by …``. Every device of a shortage has a user, or cannot be used."""
        if device.problem:
            return f"{device.address} {device.problem}"
        return f"{device.address} is used by {joined(self._users.names(device.address))}"
