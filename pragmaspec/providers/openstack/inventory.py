"""The inventory: flavors, quotas with all that is used, and the uses of addresses and private ranges in the project.

A user of a cloud sees neither hosts nor their capacity, so quotas are the only limit that a plan knows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pragmaspec.errors import SiteError
from pragmaspec.planning.observed import CapacityUse, Inventory, PoolUse, PublicPool, Quota, QuotaBasis, QuotaUse
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.providers.openstack.addresses import holder
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.cloud import Cloud
from pragmaspec.providers.openstack.image_import import METHOD, is_offered
from pragmaspec.providers.openstack.images import is_complete, list_images
from pragmaspec.providers.openstack.listings import PORTS, SERVERS, SUBNETS
from pragmaspec.providers.openstack.marks import label_from_description, mark_from_metadata
from pragmaspec.providers.openstack.network_parts import Parts, list_parts
from pragmaspec.providers.openstack.objects import (
    AbsoluteLimits,
    ComputeLimits,
    GlanceImage,
    NetworkQuota,
    NeutronNetwork,
    OfferedFlavor,
    Port,
    SecurityGroup,
    Server,
)
from pragmaspec.providers.openstack.security import missing_rules
from pragmaspec.providers.openstack.servers.listed import GONE
from pragmaspec.providers.openstack.servers.power import RUNNING
from pragmaspec.providers.openstack.storage.offer import VolumeOffer, take_volume_offer
from pragmaspec.providers.openstack.zones import refuse_unknown_zones
from pragmaspec.site import Flavor, QuotaKind

_CPUS_MAX = 1024
_FIRST_RULES = 2
"""Neutron gives every group two rules, for traffic to the outside."""
_DHCP = "network:dhcp"
_NETWORK_QUOTAS: Mapping[str, QuotaKind] = {
    "floatingip": "addresses",
    "network": "networks",
    "port": "ports",
    "security_group": "security_groups",
    "security_group_rule": "security_rules",
    "subnet": "subnets",
    "router": "routers",
}


class _Answers(NamedTuple):
    flavors: tuple[OfferedFlavor, ...]
    servers: tuple[Server, ...]
    parts: Parts
    limits: AbsoluteLimits
    images: tuple[GlanceImage, ...]
    public: tuple[NeutronNetwork, ...]
    """Networks with public addresses."""
    quotas: Mapping[str, NetworkQuota]
    ports: tuple[Port, ...]
    storage: VolumeOffer


def take_inventory(cloud: Cloud) -> Inventory:
    """Return the project's inventory."""
    answers = _answers(cloud)
    _refuse_missing_import(cloud)
    return Inventory(
        identity=cloud.identity(),
        cpus=0,
        memory_mib=0,
        disk_bytes=0,
        disk_free_bytes=0,
        cpus_per_node=max((flavor.vcpus for flavor in answers.flavors), default=_CPUS_MAX),
        reports_capacity=False,
        holdings=(*(_holding(server) for server in answers.servers), *answers.storage.holdings()),
        public=_public_pool(cloud),
        addresses=tuple(_use(each.floating_ip_address, each.description, holder(each)) for each in answers.parts.addresses),
        cidrs=tuple(_use(each.cidr, each.description, f"subnet {each.id}") for each in answers.parts.subnets),
        images=tuple(sorted({each.digest for each in answers.images if each.part == "disk" and is_complete(each)})),
        networks=tuple(network.name for network in answers.public),
        devices=(),
        flavors=tuple(_flavor(each) for each in answers.flavors),
        quotas=(*_quotas(cloud, answers), *answers.storage.as_quotas(cloud.settings.volume_type)),
        volumes=tuple(answers.storage.kept()),
        disks=answers.storage.disks(),
    )


def _public_pool(cloud: Cloud) -> PublicPool | None:
    """Return the network of public addresses: the shared one that the site names, or that of floating addresses."""
    shared = cloud.shared_network
    if shared is None:
        external = cloud.external_network
        return PublicPool(network=external.name) if external is not None else None
    subnet = next(iter(cloud.client.list(SUBNETS, network_id=shared.id, ip_version=4)), None)
    if subnet is None:
        return None
    return PublicPool(
        network=shared.name, cidr=subnet.cidr, gateway=subnet.gateway_ip, dns=subnet.dns_nameservers, mtu=shared.mtu
    )


def _refuse_missing_import(cloud: Cloud) -> None:
    """Raise SiteError if the cloud has to download images, and cannot."""
    if cloud.settings.fetch == "cloud" and not is_offered(cloud.client):
        raise SiteError(
            "The cloud does not download images",
            f"{cloud.title} does not offer the import method {METHOD}. Change the site's `fetch` to `auto` or `upload`.",
        )


def _answers(cloud: Cloud) -> _Answers:
    client, project = cloud.client, cloud.project
    with ThreadPoolExecutor(10) as pool:
        zones = pool.submit(refuse_unknown_zones, cloud, "compute", cloud.settings.zones, "zones")
        storage = pool.submit(take_volume_offer, cloud)
        flavors = pool.submit(cloud.flavors)
        servers = pool.submit(client.list, SERVERS)
        parts = pool.submit(list_parts, cloud)
        limits = pool.submit(lambda: client.send("compute", "GET", "/limits", None, "limits", ComputeLimits))
        quotas = pool.submit(_network_quotas, client, project)
        ports = pool.submit(client.list, PORTS, project_id=project)
        images = pool.submit(list_images, client)
        public = (*cloud.external_networks, *filter(None, (cloud.shared_network,)))
    zones.result()
    living = tuple(server for server in servers.result() if server.status not in GONE)
    return _Answers(
        flavors=flavors.result(),
        servers=living,
        parts=parts.result(),
        limits=limits.result().absolute,
        images=images.result(),
        public=public,
        quotas=quotas.result(),
        ports=ports.result(),
        storage=storage.result(),
    )


def _network_quotas(client: Client, project: str) -> Mapping[str, NetworkQuota]:
    """Return the quotas of Neutron by kind of object."""
    path = f"/quotas/{project}/details.json"
    found = client.send("network", "GET", path, None, "quota", dict[str, NetworkQuota])
    return {name: quota for name, quota in found.items() if name in _NETWORK_QUOTAS}


def _quotas(cloud: Cloud, answers: _Answers) -> Iterator[Quota]:
    limits = answers.limits
    compute: tuple[tuple[QuotaKind, int, int, Sequence[QuotaUse]], ...] = (
        ("instances", limits.maxTotalInstances, limits.totalInstancesUsed, _users(answers.servers, lambda _: 1)),
        ("cores", limits.maxTotalCores, limits.totalCoresUsed, _users(answers.servers, lambda each: each.flavor.vcpus)),
        ("memory", limits.maxTotalRAMSize, limits.totalRAMUsed, _users(answers.servers, lambda each: each.flavor.ram)),
    )
    for kind, limit, used, users in compute:
        complete = sum(use.amount for use in users) == used
        yield Quota(kind=kind, limit=_limit(limit), used=used, users=tuple(users) if complete else ())
    rates = _network_rates(cloud)
    for name, quota in answers.quotas.items():
        kind, used = _NETWORK_QUOTAS[name], quota.used + quota.reserved
        if kind == "ports":
            # The site makes the port of a network's DHCP server some time after the network, so each counts from the beginning.
            used = len(answers.parts.subnets) + sum(port.device_owner != _DHCP for port in answers.ports)
        yield Quota(kind=kind, limit=_limit(quota.limit), used=used, rates=rates.get(kind))


def _network_rates(cloud: Cloud) -> Mapping[QuotaKind, tuple[tuple[QuotaBasis, int], ...]]:
    """Return the amounts that differ from the usual ones: routers, their ports, those of DHCP servers, and rules of groups."""
    routers = 1 if cloud.site.networking.router else 0
    rules = _FIRST_RULES + len(missing_rules(SecurityGroup(id=""), cloud.settings))
    return {
        "ports": (("nic", 1), ("network", 1), ("cluster", routers)),
        "routers": (("cluster", routers),),
        "security_rules": (("cluster", rules),),
    }


def _users(servers: Sequence[Server], amount: Callable[[Server], int]) -> list[QuotaUse]:
    found: dict[tuple[str, str | None], int] = {}
    for server in servers:
        mark = mark_from_metadata(server.metadata)
        key = (f"stack {mark.short}", mark.lineage) if mark is not None else (f"server {server.name}", None)
        found[key] = found.get(key, 0) + amount(server)
    return [QuotaUse(owner=owner, amount=total, lineage=lineage) for (owner, lineage), total in found.items()]


def _holding(server: Server) -> CapacityUse:
    mark = mark_from_metadata(server.metadata)
    running = server.status in RUNNING
    return CapacityUse.by(
        mark,
        f"server {server.name}",
        cpus=server.flavor.vcpus if running else 0,
        memory_mib=server.flavor.ram if running else 0,
        disk_bytes=server.flavor.disk * GIB,
    )


def _use(value: str, description: str | None, otherwise: str) -> PoolUse:
    label = label_from_description(description)
    return PoolUse.by(value, label.mark if label is not None else None, otherwise)


def _flavor(offered: OfferedFlavor) -> Flavor:
    return Flavor(
        name=offered.name,
        cpus=offered.vcpus,
        memory_mib=offered.ram,
        disk_bytes=offered.disk * GIB,
        description=offered.description or "",
    )


def _limit(limit: int) -> int | None:
    return None if limit < 0 else limit
