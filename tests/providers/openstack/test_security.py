"""Rules of security groups."""

from pragmaspec.providers.ingress import Ingress
from pragmaspec.providers.openstack.objects import SecurityGroup, SecurityRule
from pragmaspec.providers.openstack.security import missing_rules, rule_text, wanted_rules
from pragmaspec.providers.openstack.settings import OpenStackSettings

SETTINGS = OpenStackSettings(
    ssh_from=("192.0.2.0/24",), ingress=(Ingress(first=8000, last=8080), Ingress(protocol="udp", first=53, last=53))
)


def test_ssh_ping_and_ingress_are_wanted() -> None:
    assert [rule_text(rule) for rule in wanted_rules(SETTINGS)] == [
        "tcp 22 from 192.0.2.0/24",
        "icmp from 192.0.2.0/24",
        "tcp 8000-8080 from 0.0.0.0/0",
        "udp 53 from 0.0.0.0/0",
    ]


def test_a_new_group_lacks_everything_and_a_complete_one_nothing() -> None:
    group = SecurityGroup(id="g")
    missing = missing_rules(group, SETTINGS)
    assert [rule_text(rule) for rule in missing[:1]] == ["all traffic from members"]
    assert len(missing) == 5
    assert missing_rules(SecurityGroup(id="g", security_group_rules=missing), SETTINGS) == ()


def test_a_rule_from_everywhere_is_recognized_in_both_forms_of_neutron() -> None:
    settings = OpenStackSettings()
    present = tuple(
        SecurityRule(
            id="1",
            direction=rule.direction,
            ethertype=rule.ethertype,
            protocol=rule.protocol,
            port_range_min=rule.port_range_min,
            port_range_max=rule.port_range_max,
            remote_group_id=rule.remote_group_id,
        )
        for rule in missing_rules(SecurityGroup(id="g"), settings)
    )
    assert missing_rules(SecurityGroup(id="g", security_group_rules=present), settings) == ()
