"""Security groups: one per cluster, with the traffic that reaches its nodes."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from pragmaspec.providers.ingress import Ingress, accepted_traffic
from pragmaspec.providers.openstack.client import Client
from pragmaspec.providers.openstack.objects import SecurityGroup, SecurityRule
from pragmaspec.providers.openstack.settings import OpenStackSettings


def wanted_rules(settings: OpenStackSettings) -> tuple[SecurityRule, ...]:
    """Return the rules besides those for members: ssh, ping, and the site's ``ingress``."""
    accepted = accepted_traffic(settings.ssh_from, settings.ingress)
    return tuple(dict.fromkeys(rule for each in accepted for rule in _rules(each)))


def missing_rules(group: SecurityGroup, settings: OpenStackSettings) -> tuple[SecurityRule, ...]:
    """Return the rules that ``group`` lacks, the one for traffic between members first."""
    present = {_comparable(rule) for rule in group.security_group_rules}
    members = _from_members(group.id)
    return tuple(rule for rule in (members, *wanted_rules(settings)) if _comparable(rule) not in present)


def rule_text(rule: SecurityRule) -> str:
    """Return ``tcp 22 from 0.0.0.0/0``."""
    ports = f" {rule.port_range_min}" if rule.port_range_min is not None else ""
    ports += f"-{rule.port_range_max}" if rule.port_range_max not in (None, rule.port_range_min) else ""
    source = "members" if rule.remote_group_id else rule.remote_ip_prefix or "anywhere"
    return f"{rule.protocol or 'all traffic'}{ports} from {source}"


def add_rules(client: Client, group_id: str, rules: Iterable[SecurityRule]) -> None:
    """Add ``rules`` to the group in one request."""
    bodies = [{"security_group_id": group_id, **_body(rule)} for rule in rules]
    if bodies:
        client.call("network", "POST", "/security-group-rules", body={"security_group_rules": bodies})


def _rules(ingress: Ingress) -> Iterator[SecurityRule]:
    first, last = (None, None) if ingress.protocol == "icmp" else (ingress.first, ingress.last)
    for source in ingress.sources:
        yield SecurityRule(
            direction="ingress",
            ethertype="IPv4",
            protocol=ingress.protocol,
            port_range_min=first,
            port_range_max=last,
            remote_ip_prefix=source,
        )


def _from_members(group_id: str) -> SecurityRule:
    return SecurityRule(direction="ingress", ethertype="IPv4", remote_group_id=group_id)


def _comparable(rule: SecurityRule) -> SecurityRule:
    """Return ``rule`` in one form: Neutron keeps ``0.0.0.0/0`` as it was written, and newer releases as null."""
    source = None if rule.remote_ip_prefix == "0.0.0.0/0" else rule.remote_ip_prefix
    return replace(rule, id="", remote_ip_prefix=source)


def _body(rule: SecurityRule) -> dict[str, object]:
    fields = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id")
    return {name: getattr(rule, name) for name in fields if getattr(rule, name) is not None}
