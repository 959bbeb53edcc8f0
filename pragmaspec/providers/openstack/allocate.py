"""Allocations: the networks, the router, the security group and the floating addresses of one cluster.

Every part is looked up by its mark before it is made, so a call can be repeated. Names of these objects are not unique, so a
request that was executed twice, or whose answer was lost, may have made a part twice: a call that makes something looks again at
its end, and the older part stays.
"""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network
from typing import NamedTuple

from pragmaspec.errors import SiteError
from pragmaspec.failpoints import reach
from pragmaspec.providers.openstack.addresses import (
    external_network,
    new_address,
    release,
    reserved_address,
)
from pragmaspec.providers.openstack.call_error import CallError
from pragmaspec.providers.openstack.client import LOST
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.direct_ports import new_direct_port
from pragmaspec.providers.openstack.grants import granted_to
from pragmaspec.providers.openstack.listings import PORTS
from pragmaspec.providers.openstack.marks import Label, description_of
from pragmaspec.providers.openstack.network_parts import Parts, list_parts, oldest_by_part
from pragmaspec.providers.openstack.objects import FloatingIp, NeutronNetwork, Port, Router, SecurityGroup, Subnet, by_age
from pragmaspec.providers.openstack.release import delete_router, refuse_foreign, remove_parts
from pragmaspec.providers.openstack.security import add_rules, missing_rules
from pragmaspec.resources import STANDARD_MTU, Allocation, Mark, Network, Outputs, PublicGrant

SERVICE_OFFSETS = ((1, 3), (5, 9))
"""Inclusive ranges of offsets in a network for the site's own ports, such as those of DHCP servers; the frontend has the fourth
address, and the other nodes begin at the tenth."""
_ALREADY = "already has a port"


class Allocated(NamedTuple):
    """An allocation at the site: its public addresses, and its parts as listed after the last one was made."""

    outputs: Outputs
    parts: Parts


def allocate(cloud: Cloud, wanted: Allocation, mark: Mark) -> Allocated:
    """Make the allocation at the site equal ``wanted``. A new part is removed again if a later one is refused."""
    build = _Build(cloud, wanted, mark)
    try:
        return build.run()
    except (CallError, SiteError):
        build.undo()
        raise


class _Build:
    """One call of :func:`allocate`."""

    def __init__(self, cloud: Cloud, wanted: Allocation, mark: Mark) -> None:
        self._cloud = cloud
        self._client = cloud.client
        self._wanted = wanted
        self._mark = mark
        self._undo: list[Callable[[], object]] = []
        self._kept: set[str] = set()
        """Ids of the parts in use."""

    def run(self) -> Allocated:
        everything = list_parts(self._cloud)
        here = everything.of(self._mark)
        networks, _ = oldest_by_part(here.networks)
        group = self._security_group(here)
        subnets = {network.name: self._network(network, networks.get(network.name), here) for network in self._wanted.networks}
        if self._wanted.private.gateway is not None:
            self._router(here, subnets[self._wanted.private.name])
        direct = bool(self._cloud.settings.network)
        granted: dict[str, FloatingIp | Port] = {
            grant.node: self._direct_port(grant, here, group) if direct else self._address(grant, everything, here)
            for grant in self._wanted.public
        }
        self._kept.update(held.id for held in granted.values())
        if self._undo:
            here = list_parts(self._cloud).of(self._mark)
        self._drop(here)
        return Allocated(tuple((f"public:{node}", held.address) for node, held in granted.items()), here)

    def undo(self) -> None:
        """Remove the parts that this call has made, the newest first. What cannot be removed now is removed with the rest."""
        for remove in reversed(self._undo):
            with suppress(CallError, *LOST):
                remove()

    def _network(self, wanted: Network, present: NeutronNetwork | None, here: Parts) -> Subnet:
        found = present or self._new_network(wanted)
        self._kept.add(found.id)
        subnet = here.subnet_of(found.id)
        if subnet is not None and subnet.cidr == str(IPv4Network(wanted.cidr, strict=False)):
            return subnet
        if subnet is not None:
            self._client.remove("network", f"/subnets/{subnet.id}")
        return self._new_subnet(wanted, found.id)

    def _new_network(self, wanted: Network) -> NeutronNetwork:
        body: dict[str, object] = {"name": f"{self._wanted.cluster}-{wanted.name}", "description": self._description(wanted.name)}
        if wanted.mtu != STANDARD_MTU:
            body["mtu"] = wanted.mtu
        made = self._client.send("network", "POST", "/networks", {"network": body}, "network", NeutronNetwork)
        self._undo.append(lambda: self._client.remove("network", f"/networks/{made.id}"))
        reach("openstack.network.made")
        return made

    def _new_subnet(self, wanted: Network, network_id: str) -> Subnet:
        public = self._cloud.site.public
        body = {
            "network_id": network_id,
            "name": f"{self._wanted.cluster}-{wanted.name}",
            "description": self._description(wanted.name),
            "ip_version": 4,
            "cidr": str(IPv4Network(wanted.cidr, strict=False)),
            "gateway_ip": wanted.gateway,
            "allocation_pools": service_pools(wanted),
            "dns_nameservers": list(public.dns) if public is not None else [],
        }
        made = self._client.send("network", "POST", "/subnets", {"subnet": body}, "subnet", Subnet)
        reach("openstack.subnet.made")
        return made

    def _security_group(self, here: Parts) -> str:
        """Return the id of the cluster's security group, with all of its rules."""
        found, _ = oldest_by_part(here.groups)
        group = next(iter(found.values()), None)
        if group is None:
            body = {"name": self._wanted.cluster, "description": self._description()}
            group = self._client.send(
                "network", "POST", "/security-groups", {"security_group": body}, "security_group", SecurityGroup
            )
            made = group.id
            self._undo.append(lambda: self._client.remove("network", f"/security-groups/{made}"))
            reach("openstack.group.made")
        self._kept.add(group.id)
        add_rules(self._client, group.id, missing_rules(group, self._cloud.settings))
        reach("openstack.group.complete")
        return group.id

    def _router(self, here: Parts, subnet: Subnet) -> None:
        router = self._present_router(here, subnet) or self._new_router()
        self._kept.add(router.id)
        try:
            self._client.call("network", "PUT", f"/routers/{router.id}/add_router_interface", body={"subnet_id": subnet.id})
        except CallError as error:
            # Neutron refuses the address of the gateway to a repeated request whose first is still at work.
            if _ALREADY not in error.message and not self._is_connected(router, subnet):
                raise
        reach("openstack.router.connected")

    def _present_router(self, here: Parts, subnet: Subnet) -> Router | None:
        """Return the router of the cluster: of two, the one that has the address of the gateway already."""
        routers = by_age(here.routers)
        if len(routers) > 1:
            ports = self._client.list(PORTS, network_id=subnet.network_id)
            holders = {port.device_id for port in ports}
            routers = [router for router in routers if router.id in holders] or routers
        return routers[0] if routers else None

    def _is_connected(self, router: Router, subnet: Subnet) -> bool:
        """True if the router has a port in the network of ``subnet``."""
        return bool(self._client.list(PORTS, device_id=router.id, network_id=subnet.network_id))

    def _new_router(self) -> Router:
        body = {
            "name": self._wanted.cluster,
            "description": self._description(),
            "external_gateway_info": {"network_id": external_network(self._cloud).id},
        }
        router = self._client.send("network", "POST", "/routers", {"router": body}, "router", Router)
        self._undo.append(lambda: delete_router(self._client, router.id))
        reach("openstack.router.made")
        return router

    def _address(self, grant: PublicGrant, everything: Parts, here: Parts) -> FloatingIp:
        """Return the floating address of ``grant``: its own, a reserved one that it names, or a new one."""
        own = granted_to(grant, here.addresses, self._mark)
        if own:
            return own[0]
        if grant.address:
            taken = reserved_address(self._cloud, grant, self._mark, everything.addresses)
        else:
            taken = new_address(self._cloud, grant, self._mark)
        self._undo.append(lambda: release(self._cloud, taken))
        reach("openstack.address.made")
        return taken

    def _direct_port(self, grant: PublicGrant, here: Parts, group: str) -> Port:
        """Return the port of ``grant`` on the shared network."""
        own = granted_to(grant, here.ports, self._mark)
        if own:
            return own[0]
        if grant.address:
            raise SiteError(
                "A public address is lost",
                f"{grant.address} of {grant.node} is no longer a port of this project at {self._cloud.title}, which chooses "
                "addresses itself. Plan again.",
            )
        made = new_direct_port(self._cloud, grant.node, self._mark, group)
        self._undo.append(lambda: self._client.remove("network", f"/ports/{made.id}"))
        reach("openstack.address.made")
        return made

    def _drop(self, here: Parts) -> None:
        """Remove the parts that are no longer wanted, and those that exist twice."""
        networks = [each for each in here.networks if each.id not in self._kept]
        refuse_foreign(self._cloud, networks, self._mark.lineage)
        remove_parts(
            self._cloud,
            Parts(
                networks=tuple(networks),
                routers=tuple(each for each in here.routers if each.id not in self._kept),
                groups=tuple(each for each in here.groups if each.id not in self._kept),
                addresses=tuple(each for each in here.addresses if each.id not in self._kept),
                ports=tuple(each for each in here.ports if each.id not in self._kept),
            ),
        )

    def _description(self, part: str = "") -> str:
        return description_of(Label(mark=self._mark, part=part))


def service_pools(network: Network) -> list[dict[str, str]]:
    """Return the ranges from which the site takes addresses of its own ports, without the gateway's."""
    parsed = IPv4Network(network.cidr, strict=False)
    last = parsed.num_addresses - 2
    taken = {network.gateway}
    pools = []
    for first, end in SERVICE_OFFSETS:
        offsets = [each for each in range(first, min(end, last) + 1) if str(parsed[each]) not in taken]
        if offsets:
            pools.append({"start": str(parsed[offsets[0]]), "end": str(parsed[offsets[-1]])})
    return pools
