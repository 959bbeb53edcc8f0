"""The objects of allocations at the site, found by their marks."""

from collections.abc import Iterator
from typing import NamedTuple

from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.marks import marked_of
from pragmaspec.providers.ec2.rules import Rule, present_rules
from pragmaspec.providers.ec2.service import Service
from pragmaspec.resources import Mark

GROUP_PART, INTENT_PART, VPC_PART, GATEWAY_PART = "group", "intent", "vpc", "gateway"
NETWORK_PART = "network/"
"""ClusterParts of allocations, as their marks name them."""


class ClusterSubnet(NamedTuple):
    """A subnet of a cluster; ``network``: the name of the network that it is."""

    id: str
    network: str
    cidr: str
    vpc: str


class ClusterParts(NamedTuple):
    """The objects of one allocation at the site; empty: absent."""

    vpc: str = ""
    """Id of the VPC; empty if it is not the cluster's own."""
    group: str = ""
    intent: str = ""
    """A group that announces a VPC, which cannot be marked by the call that creates it."""
    subnets: tuple[ClusterSubnet, ...] = ()
    op: str = ""
    rules: frozenset[Rule] = frozenset()
    """Those of the group."""

    @property
    def id(self) -> str:
        """The id of the allocation; empty: there is none."""
        return self.vpc or self.group or next((each.id for each in self.subnets), "") or self.intent

    def subnet(self, network: str) -> ClusterSubnet | None:
        """Return the subnet of a network."""
        return next((each for each in self.subnets if each.network == network), None)


def subnets_of(service: Service, parts: ClusterParts) -> tuple[str, ...]:
    """Return the ids of the subnets of an allocation, also of one that the options name."""
    named = service.settings.subnet
    return (*(each.id for each in parts.subnets), *([named] if named else ()))


def find_all_parts(service: Service, lineage: str) -> dict[str, ClusterParts]:
    """Return the objects of every allocation of a stack, by address."""
    return _parts(service, lineage, "")


def find_parts(service: Service, mark: Mark) -> ClusterParts:
    """Return the objects of one allocation."""
    return _parts(service, mark.lineage, mark.address).get(mark.address, ClusterParts())


def _parts(service: Service, lineage: str, address: str) -> dict[str, ClusterParts]:
    found: dict[str, ClusterParts] = {}

    def ours(operation: str, key: str) -> Iterator[tuple[Answer, Mark, str]]:
        for each in service.owned(operation, key, lineage, address):
            marked = marked_of(each)
            if marked and marked.mark.lineage == lineage and address in ("", marked.mark.address):
                yield each, marked.mark, marked.part

    for each, mark, part in ours("describe_security_groups", "SecurityGroups"):
        before = found.get(mark.address, ClusterParts(op=mark.op))
        key = "intent" if part == INTENT_PART else "group"
        rules = before.rules | present_rules(each)
        found[mark.address] = before._replace(**{key: each["GroupId"]}, rules=rules)
    for each, mark, _ in ours("describe_vpcs", "Vpcs"):
        found[mark.address] = found.get(mark.address, ClusterParts(op=mark.op))._replace(vpc=each["VpcId"])
    for each, mark, part in ours("describe_subnets", "Subnets"):
        before = found.get(mark.address, ClusterParts(op=mark.op))
        subnet = ClusterSubnet(each["SubnetId"], part.removeprefix(NETWORK_PART), each["CidrBlock"], each["VpcId"])
        found[mark.address] = before._replace(subnets=(*before.subnets, subnet))
    return found
