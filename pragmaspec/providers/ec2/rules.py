"""Rules of security groups: the traffic from outside that the nodes of a cluster accept."""

from collections.abc import Iterator
from typing import NamedTuple

from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.settings import Ec2Settings
from pragmaspec.providers.ingress import accepted_traffic

_ALL_TYPES = -1
"""All types and codes of ICMP."""


class Rule(NamedTuple):
    """Traffic from one network."""

    protocol: str
    first: int
    last: int
    source: str

    @property
    def permission(self) -> Answer:
        """The rule as the API expects it."""
        ports = {"FromPort": self.first, "ToPort": self.last}
        return {"IpProtocol": self.protocol, **ports, "IpRanges": [{"CidrIp": self.source}]}

    @property
    def text(self) -> str:
        """The rule for people."""
        ports = "" if self.first < 0 else f" {self.first}" if self.first == self.last else f" {self.first}-{self.last}"
        return f"{self.protocol}{ports} from {self.source}"


def wanted_rules(settings: Ec2Settings) -> Iterator[Rule]:
    """Yield the rules that the options of a site ask for."""
    for each in accepted_traffic(settings.ssh_from, settings.ingress):
        first, last = (_ALL_TYPES, _ALL_TYPES) if each.protocol == "icmp" else (each.first, each.last)
        yield from (Rule(each.protocol, first, last, source) for source in each.sources)


def present_rules(group: Answer) -> frozenset[Rule]:
    """Return the rules of a group for traffic from networks."""
    return frozenset(
        Rule(each["IpProtocol"], int(each.get("FromPort", _ALL_TYPES)), int(each.get("ToPort", _ALL_TYPES)), source["CidrIp"])
        for each in group.get("IpPermissions", ())
        for source in each.get("IpRanges", ())
    )
