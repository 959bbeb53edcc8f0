"""Quotas of an account at AWS, with their use.

Codes: ``aws service-quotas list-service-quotas --service-code ec2``, ``vpc`` and ``ebs``.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from botocore.exceptions import ClientError

from pragmaspec.planning.observed import Quota, QuotaBasis, QuotaUse
from pragmaspec.providers.ec2.addresses import public_addresses
from pragmaspec.providers.ec2.machines import Machine
from pragmaspec.providers.ec2.service import Service
from pragmaspec.providers.ec2.settings import Market
from pragmaspec.providers.ec2.sizes import Sizes
from pragmaspec.providers.ec2.volumes import DISK_TYPE, EbsVolume
from pragmaspec.providers.gibibytes import GIB
from pragmaspec.site import Flavor

_VCPUS: dict[Market, str] = {"on-demand": "L-1216C47A", "spot": "L-34B43A08"}
"""vCPUs of running machines of the standard families."""
_ADDRESSES, _VPCS = "L-0263D0A3", "L-F678F1CE"
_STORAGE = "L-7A658B76"
"""Storage of gp3 volumes in TiB, of the service ``ebs``."""
_STORAGE_RATES: tuple[tuple[QuotaBasis, int], ...] = (("own_disk_byte", 1), ("volume_byte", 1))
_TIB = 2**40
_STANDARD_FAMILIES = "acdhimrtz"
"""First letters of the families that have one quota together; others, such as GPUs, have quotas of their own."""


def site_quotas(service: Service, sizes: Sizes, machines: Sequence[Machine], volumes: Sequence[EbsVolume]) -> tuple[Quota, ...]:
    """Return the quotas that plans can check. ``machines`` and ``volumes``: all of the account."""
    if not service.capabilities.has("quotas"):
        return ()
    return (*_quotas(service, sizes, machines), *_storage_quota(service, volumes))


def _storage_quota(service: Service, volumes: Sequence[EbsVolume]) -> Iterator[Quota]:
    """Yield the quota of the type that further disks and volumes have."""
    if (limit_tib := _limit(service, "ebs", _STORAGE)) is not None:
        used = sum(each.gib for each in volumes if each.type == DISK_TYPE) * GIB
        yield Quota(kind="volume_storage", limit=limit_tib * _TIB, used=used, rates=_STORAGE_RATES)


def _quotas(service: Service, sizes: Sizes, machines: Sequence[Machine]) -> Iterator[Quota]:
    market = service.settings.market
    if all(map(_is_standard, sizes.offered())) and (limit := _limit(service, "ec2", _VCPUS[market])) is not None:
        users = _vcpu_users(sizes, machines, market)
        used = sum(each.amount for each in users)
        yield Quota(kind="cores", limit=limit, used=used, users=users, counts_stopped=False)
    if (limit := _limit(service, "ec2", _ADDRESSES)) is not None:
        yield Quota(kind="addresses", limit=limit, used=len(public_addresses(service)))
    own_vpcs = not (service.settings.vpc or service.settings.subnet)
    if own_vpcs and (limit := _limit(service, "vpc", _VPCS)) is not None:
        used = sum(1 for _ in service.connection.listed("describe_vpcs", "Vpcs"))
        yield Quota(kind="networks", limit=limit, used=used, rates=(("cluster", 1),))


def _limit(service: Service, code: str, quota: str) -> int | None:
    """Return a limit; None if the credentials may not read it."""
    try:
        answer = service.connection.call("get_service_quota", service="service-quotas", ServiceCode=code, QuotaCode=quota)
    except ClientError:
        return None
    return int(answer["Quota"]["Value"])


def _vcpu_users(sizes: Sizes, machines: Sequence[Machine], market: Market) -> tuple[QuotaUse, ...]:
    amounts: Counter[tuple[str, str]] = Counter()
    for machine in machines:
        flavor = sizes.of_machine(machine.type)
        same_market = bool(machine.spot_request) == (market == "spot")
        if flavor and same_market and machine.status == "running" and _is_standard(flavor):
            mark = machine.mark
            cluster = f"cluster {mark.address.split('/')[1]} of stack {mark.short}" if mark else machine.name or machine.id
            amounts[cluster, mark.lineage if mark else ""] += flavor.cpus
    return tuple(
        QuotaUse(owner=owner, amount=amount, lineage=lineage or None) for (owner, lineage), amount in sorted(amounts.items())
    )


def _is_standard(flavor: Flavor) -> bool:
    return flavor.name[:1] in _STANDARD_FAMILIES
