"""Clusters at a simulated cloud that has no VLAN numbers, and translates public addresses, from the command line."""

import pytest

from tests.cli.harness import CommandLine

ROUTED = {
    "public": "{addresses: [198.51.100.10-198.51.100.19]}",
    "late": "[public]",
    "user_data_limit": "16 KiB",
    "networking": "{vlans: false, router: true, translated: true, dhcp: true, frontend_offset: 4}",
}


def test_a_floating_address_is_shown_and_reached_and_can_be_released(cli: CommandLine) -> None:
    cli.spec(2, site=ROUTED)
    assert "public address (known after apply) · 10.0.0.0/16" in cli("plan").out
    cli("apply", "-y")
    (held,) = cli("list", "cluster", "--json").json["clusters"]
    (grant,) = held["allocation"]["public"]
    assert (grant["translated"], grant["prefix"], held["allocation"]["networks"][0]["gateway"]) == (True, 32, "10.0.0.1")
    address = grant["address"]
    listed = cli("list", "cluster").out
    assert address in listed
    assert "VLAN" not in listed
    assert f"HostName {address}\n" in cli("ssh-config").out
    facts = cli("show", "hello-frontend").out
    assert f"{address} · translated to the private interface\n" in facts
    assert " · gateway 10.0.0.1\n" in facts
    assert "private  10.0.0.0/16 · gateway 10.0.0.1\n" in cli("show", "lab/hello/allocation").out
    cli.spec(3, site=ROUTED)
    cli("apply", "-y")
    cli.spec(3, site=ROUTED, public="none", readiness="none")
    plan = cli("plan").out
    assert "leaves public" in plan
    assert "Reboots hello-frontend." in plan
    assert "REBUILD" not in plan
    cli("apply", "-y")
    assert "No changes" in cli("plan").out


@pytest.mark.parametrize("key", ["vlans", "private"])
def test_vlan_numbers_are_refused_by_validate(cli: CommandLine, key: str) -> None:
    site = {**ROUTED, "vlans": "20-29"} if key == "vlans" else ROUTED
    cli.spec(1, site=site, **({"private": "{vlan: 20}"} if key == "private" else {}))
    assert "No VLAN numbers at the site" in cli("validate", status=1).err
