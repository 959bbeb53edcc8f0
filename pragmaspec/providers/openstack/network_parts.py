"""The parts of clusters' allocations at the site: networks, subnets, routers, security groups and floating addresses."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.direct_ports import list_direct_ports
from pragmaspec.providers.openstack.listings import FLOATING_IPS, NETWORKS, ROUTERS, SECURITY_GROUPS, SUBNETS
from pragmaspec.providers.openstack.marks import Label, label_from_description
from pragmaspec.providers.openstack.objects import (
    Described,
    FloatingIp,
    NeutronNetwork,
    Port,
    Router,
    SecurityGroup,
    Subnet,
    by_age,
)
from pragmaspec.resources import Mark

Part = TypeVar("Part", bound=Described)


class Parts(NamedTuple):
    """Parts of any owner, or of one allocation. An allocation may have two of a kind, if the answer to a creation was lost."""

    networks: tuple[NeutronNetwork, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    routers: tuple[Router, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()
    addresses: tuple[FloatingIp, ...] = ()
    ports: tuple[Port, ...] = ()
    """Ports with public addresses on a shared network."""

    def of(self, mark: Mark) -> "Parts":
        """Return the parts of the allocation of ``mark``. Subnets are those of its networks."""
        networks = tuple(_marked(self.networks, mark))
        ids = {network.id for network in networks}
        return Parts(
            networks=networks,
            subnets=tuple(subnet for subnet in self.subnets if subnet.network_id in ids),
            routers=tuple(_marked(self.routers, mark)),
            groups=tuple(_marked(self.groups, mark)),
            addresses=tuple(_marked(self.addresses, mark)),
            ports=tuple(_marked(self.ports, mark)),
        )

    @property
    def described(self) -> tuple[Described, ...]:
        """All parts whose description may be a mark."""
        return (*self.networks, *self.groups, *self.routers, *self.addresses, *self.ports)

    def labels(self) -> list[Label]:
        """Return the labels of all marked parts."""
        return [label for each in self.described if (label := label_from_description(each.description)) is not None]

    def subnet_of(self, network_id: str) -> Subnet | None:
        """Return the subnet of a network."""
        return next((subnet for subnet in self.subnets if subnet.network_id == network_id), None)


def list_parts(cloud: Cloud) -> Parts:
    """Return the parts of all owners in the project: one listing per kind, at the same time."""
    client, own = cloud.client, cloud.project
    with ThreadPoolExecutor(4) as pool:
        networks = pool.submit(list_networks, cloud)
        routers = pool.submit(lambda: client.list(ROUTERS, project_id=own))
        addresses = pool.submit(lambda: client.list(FLOATING_IPS, project_id=own))
        ports = pool.submit(list_direct_ports, cloud)
    return networks.result()._replace(routers=routers.result(), addresses=addresses.result(), ports=ports.result())


def list_networks(cloud: Cloud) -> Parts:
    """Return the networks, subnets and security groups of all owners in the project: what the ports of nodes refer to."""
    client, own = cloud.client, cloud.project
    with ThreadPoolExecutor(3) as pool:
        networks = pool.submit(lambda: client.list(NETWORKS, project_id=own))
        subnets = pool.submit(lambda: client.list(SUBNETS, project_id=own))
        groups = pool.submit(lambda: client.list(SECURITY_GROUPS, project_id=own))
    return Parts(networks=networks.result(), subnets=subnets.result(), groups=groups.result())


def oldest_by_part(parts: Iterable[Part]) -> tuple[Mapping[str, Part], tuple[Part, ...]]:
    """Return the oldest object of each part's name, and the others: duplicates of requests whose answers were lost.

    A network with a subnet precedes one without, on which no machine can be.
    """
    found: dict[str, Part] = {}
    others: list[Part] = []
    for each in sorted(by_age(parts), key=lambda part: not getattr(part, "subnets", True)):
        label = label_from_description(each.description)
        name = label.part if label is not None else ""
        if name in found:
            others.append(each)
        else:
            found[name] = each
    return found, tuple(others)


def _marked(parts: Iterable[Part], mark: Mark) -> Iterable[Part]:
    for each in parts:
        label = label_from_description(each.description)
        if label is not None and label.mark.is_for(mark):
            yield each
