"""Checks that the quotas of a site allow for the objects that a plan adds. Pure.

An action that replaces an object frees the old one first: a rebuild cleans a node before it boots it again, and a resize or a
change of an allocation is one call. So each object of the plan adds only its growth. Removed objects count until they are
removed, because a plan does not wait for removals before it creates other objects.
"""

from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.observed import CapacityUse, Inventory, PoolUse, Quota, QuotaBasis
from pragmaspec.resources import Allocation, Node, Resource, Volume
from pragmaspec.site import QuotaKind
from pragmaspec.spec.quantity import format_size
from pragmaspec.text import few, joined

MAX_USERS = 5
"""Number of users of a quota that an error names."""

Rates = tuple[tuple[QuotaBasis, int], ...]

USUAL_RATES: Mapping[QuotaKind, Rates] = MappingProxyType(
    {
        "instances": (("node", 1),),
        "cores": (("cpu", 1),),
        "memory": (("memory_mib", 1),),
        "disk": (("disk_byte", 1), ("own_disk_byte", 1)),
        "addresses": (("address", 1),),
        "networks": (("network", 1),),
        "ports": (("nic", 1),),
        "volumes": (("volume", 1),),
        "volume_storage": (("volume_byte", 1),),
        "security_groups": (("cluster", 1),),
        "security_rules": (("cluster", 1),),
        "subnets": (("network", 1),),
        "routers": (("cluster", 1),),
        "keys": (("cluster", 1),),
    }
)
"""The amount of each quota that an object takes, unless the site says otherwise."""

_NOUNS: Mapping[QuotaKind, tuple[str, str]] = MappingProxyType(
    {
        "instances": ("instance", "instances"),
        "cores": ("core", "cores"),
        "memory": ("memory", "memory"),
        "disk": ("disk", "disk"),
        "addresses": ("public address", "public addresses"),
        "networks": ("network", "networks"),
        "ports": ("port", "ports"),
        "volumes": ("volume", "volumes"),
        "volume_storage": ("volume storage", "volume storage"),
        "security_groups": ("security group", "security groups"),
        "security_rules": ("security rule", "security rules"),
        "subnets": ("subnet", "subnets"),
        "routers": ("router", "routers"),
        "keys": ("key pair", "key pairs"),
    }
)
_UNIT_BYTES: Mapping[QuotaKind, int] = MappingProxyType({"memory": 2**20, "disk": 1, "volume_storage": 1})


class _Amounts(NamedTuple):
    """The amounts of one object by basis; ``running``: false for a node that is off."""

    by_basis: Mapping[QuotaBasis, int]
    running: bool

    def of(self, quota: Quota) -> int:
        """Return the part of ``quota`` that the object takes."""
        if not self.running and not quota.counts_stopped:
            return 0
        return rated(quota_rates(quota), self.by_basis)


_NOTHING = _Amounts(MappingProxyType({}), running=True)


class _Growth(NamedTuple):
    """One object of the plan before and after it, and its line of the spec."""

    before: _Amounts
    after: _Amounts
    where: Where | None


def quota_name(kind: QuotaKind) -> str:
    """Return the name of a kind, such as ``public addresses``."""
    return _NOUNS[kind][1]


def quota_amount(kind: QuotaKind, amount: int) -> str:
    """Return the bare amount: ``1,000``, ``40 GiB``."""
    return format_size(amount * _UNIT_BYTES[kind]) if kind in _UNIT_BYTES else f"{amount:,}"


def amounts(resource: Resource) -> Mapping[QuotaBasis, int]:
    """Return the amounts of a resource by basis."""
    if isinstance(resource, Node):
        return {
            "node": 1,
            "cpu": resource.cpus,
            "memory_mib": resource.memory_mib,
            "disk_byte": resource.disk_bytes,
            "nic": sum(nic.network != "public" for nic in resource.nics),
            **_own_disk_amounts(resource),
        }
    if isinstance(resource, Volume):
        return {"volume": 1, "volume_byte": resource.size_bytes}
    if isinstance(resource, Allocation):
        created = sum(network.is_made for network in resource.networks)
        return {"cluster": 1, "network": created, "address": len(resource.public)}
    return {}


def _own_disk_amounts(node: Node) -> Mapping[QuotaBasis, int]:
    own = node.own_disks if node.disks else ()
    return {"own_disk": len(own), "own_disk_byte": sum(disk.size_bytes for disk in own)} if own else {}


def quota_rates(quota: Quota) -> Rates:
    """Return the amount of ``quota`` that each object takes."""
    return USUAL_RATES[quota.kind] if quota.rates is None else quota.rates


def rated(rates: Rates, amounts: Mapping[QuotaBasis, int]) -> int:
    """Return the part of a quota that ``amounts`` take."""
    return sum(rate * amounts.get(basis, 0) for basis, rate in rates)


def quota_shortages(
    site: str, inventory: Inventory, desired: Iterable[Desired], refreshed: RefreshedState, scope: Container[str]
) -> tuple[Problem, ...]:
    """Return one problem per quota of ``site`` that the ``desired`` resources at the addresses of ``scope`` exceed.

    An exceeded quota is a problem only for a plan that adds to it.
    """
    quotas = [quota for quota in inventory.quotas if quota.limit is not None]
    if not quotas:
        return ()
    uses: tuple[CapacityUse | PoolUse, ...] = (
        *inventory.holdings,
        *inventory.vlans,
        *inventory.addresses,
        *inventory.volumes,
    )
    present = {use.address for use in uses if use.lineage == refreshed.state.lineage and use.address is not None}
    here = [entry for entry in desired if entry.resource.site == site]
    return tuple(_Quotas(site, here, refreshed, scope, present).shortages(quotas))


class _Quotas:
    """The growth and the removals of one plan at one site.

    ``present``: addresses of objects of the stack that the site reports, also without a record.
    """

    def __init__(
        self, site: str, here: Sequence[Desired], refreshed: RefreshedState, scope: Container[str], present: Collection[str]
    ) -> None:
        self._site = site
        self._lineage = refreshed.state.lineage
        missing = refreshed.gone | refreshed.never_created
        held = {
            record.address: record.resource
            for record in refreshed.state.records
            if record.resource.site == site and record.address not in missing
        }
        wanted = {entry.resource.address for entry in here}
        self._held = [_amounts_of(resource) for resource in held.values()]
        self._growth = [
            _growth(entry, held.get(entry.resource.address), present) for entry in here if entry.resource.address in scope
        ]
        self._removed = [
            resource
            for address, resource in held.items()
            if address in scope and address not in wanted and isinstance(resource, Node | Allocation)
        ]

    def shortages(self, quotas: Iterable[Quota]) -> Iterator[Problem]:
        for quota in quotas:
            taken = self._taken(quota)
            added, limit = sum(taken.values()), quota.limit or 0
            short = quota.used + added - limit
            if added > 0 and short > 0:
                noun = quota_name(quota.kind)
                yield Problem(
                    summary=f"Quota of {noun} exceeded",
                    detail=f"Site {self._site} allows {_amount_text(quota.kind, limit)}, with {self._use_text(quota)}. "
                    f"This plan adds {quota_amount(quota.kind, added)}, which is {quota_amount(quota.kind, short)} too many. "
                    f"{self._remedy(quota, short)}",
                    where=max(taken, key=lambda where: taken[where]),
                )

    def _taken(self, quota: Quota) -> Counter[Where | None]:
        """Return the amount that the plan adds, by line of the spec."""
        found: Counter[Where | None] = Counter()
        for growth in self._growth:
            found[growth.where] += max(0, growth.after.of(quota) - growth.before.of(quota))
        return found

    def _use_text(self, quota: Quota) -> str:
        if not quota.used:
            return "none in use"
        uses: Counter[str] = Counter()
        for use in quota.users:
            uses["this stack" if use.lineage == self._lineage else use.owner] += use.amount
        if not quota.users:
            uses["this stack"] = min(quota.used, sum(each.of(quota) for each in self._held))
            uses["others"] = quota.used - uses["this stack"]
        largest = sorted(uses.items(), key=lambda use: (-use[1], use[0]))
        users = few([f"{owner}: {quota_amount(quota.kind, amount)}" for owner, amount in largest if amount], MAX_USERS)
        return f"{quota_amount(quota.kind, quota.used)} in use ({users})"

    def _remedy(self, quota: Quota, short: int) -> str:
        clusters = {each.cluster for each in self._removed if isinstance(each, Allocation)}
        freed: Counter[str] = Counter()
        for each in self._removed:
            freed[_target(each, clusters)] += _amounts_of(each).of(quota)
        names: list[str] = []
        for name, amount in sorted(freed.items(), key=lambda entry: (-entry[1], entry[0])):
            if short > 0 and amount:
                names.append(name)
                short -= amount
        if short > 0:
            return "Request less, clean clusters that are no longer needed, or ask the site's administrators for a larger quota."
        targets = "".join(f" --target {name}" for name in names)
        return (
            f"It also removes {joined(names)}, but creates before it removes. Apply the removal first: "
            f"`pragmaspec apply{targets}`."
        )


def _growth(entry: Desired, before: Resource | None, present: Collection[str]) -> _Growth:
    after = _amounts_of(entry.resource)
    if before is not None:
        return _Growth(_amounts_of(before), after, entry.where)
    if entry.resource.address in present:  # created by a run of which no record is left
        return _Growth(after, after, entry.where)
    return _Growth(_NOTHING, after if after.running else _NOTHING, entry.where)  # a new node that is off is not created


def _amounts_of(resource: Resource) -> _Amounts:
    return _Amounts(amounts(resource), not isinstance(resource, Node) or resource.running)


def _target(resource: Node | Allocation, clusters: set[str]) -> str:
    """Return the name with which the removal of ``resource`` can be applied alone: its cluster, or the node."""
    return resource.name if isinstance(resource, Node) and resource.cluster not in clusters else resource.cluster


def _amount_text(kind: QuotaKind, amount: int) -> str:
    """Return ``1 instance``, ``40 GiB of memory``."""
    singular, plural = _NOUNS[kind]
    if kind in _UNIT_BYTES:
        return f"{quota_amount(kind, amount)} of {plural}"
    return f"{amount:,} {singular if amount == 1 else plural}"
