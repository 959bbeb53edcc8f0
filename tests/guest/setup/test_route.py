"""The route of computes through their frontend."""

import subprocess
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from pragmaspec.guest.cloud_init.documents import user_data_text
from pragmaspec.guest.cloud_init.limited import essential_user_data
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.setup.nat import nat_script
from pragmaspec.guest.setup.route import ROUTE, route_script, route_setup


@pytest.fixture
def by_dhcp(cluster_of: Callable[..., GuestCluster]) -> GuestCluster:
    """A cluster whose interfaces the site configures, and whose frontend is the gateway."""
    cluster = cluster_of()
    network = replace(cluster.allocation.private, vlan=None, dhcp=True)
    return replace(cluster, allocation=replace(cluster.allocation, networks=(network,)))


def test_only_computes_of_a_site_with_dhcp_need_the_route(by_dhcp: GuestCluster, cluster: GuestCluster) -> None:
    assert "gateway=10.22.0.1\n" in (route_script(by_dhcp.nodes[1], by_dhcp) or "")
    assert route_script(by_dhcp.frontend, by_dhcp) is None
    assert route_script(cluster.nodes[1], cluster) is None
    assert nat_script(by_dhcp.frontend, by_dhcp)


def test_a_router_of_the_site_replaces_both_scripts(by_dhcp: GuestCluster) -> None:
    network = replace(by_dhcp.allocation.private, gateway="10.22.0.1")
    routed = replace(by_dhcp, allocation=replace(by_dhcp.allocation, networks=(network,)))
    assert [nat_script(node, routed) or route_script(node, routed) for node in routed.nodes] == [None, None, None]


def test_the_shell_accepts_the_scripts(by_dhcp: GuestCluster) -> None:
    setup = route_setup(by_dhcp.nodes[1], by_dhcp)
    assert setup is not None
    for text in (setup.files[0].content, setup.boot_command, setup.run_command):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        ("10.22.0.1 dev ens5 src 10.22.0.10 uid 0", 0, ["169.254.0.0/16 dev ens5", "0.0.0.0/1", "128.0.0.0/1"]),
        ("", 1, []),
    ],
)
def test_the_script_sets_the_routes_on_the_interface_to_the_frontend(
    by_dhcp: GuestCluster, answer: str, status: int, expected: list[str]
) -> None:
    fake = f'ip() {{ if [ "$1" = -4 ]; then echo "{answer}"; else echo "$*"; fi; }}\n'
    script = fake + (route_script(by_dhcp.nodes[1], by_dhcp) or "")
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected)
    assert all(line.startswith(f"route replace {begin}") for line, begin in zip(lines, expected, strict=True))
    assert all("via 10.22.0.1 dev ens5" in line for line in lines[1:])
    assert ("no interface in the network of the frontend, 10.22.0.1" in done.stderr) is bool(status)


def test_the_route_is_part_of_the_smallest_user_data(by_dhcp: GuestCluster, stack_key: StackKey) -> None:
    node = by_dhcp.nodes[1]
    essential = essential_user_data(node, by_dhcp, GuestSettings(), stack_key, 16 * 2**10)
    assert ROUTE.path not in essential.left_out
    assert ROUTE.unit not in essential.left_out
    assert f"exec {ROUTE.path}".encode() in essential.content
    assert ROUTE.path in user_data_text(node, by_dhcp, GuestSettings(), stack_key)
