import subprocess

from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.nat import NAT_ENABLE_COMMAND, NAT_SCRIPT, UNIT_TEXT, nat_boot_command, nat_script


def test_a_compute_and_a_frontend_without_public_address_are_no_gateways(cluster: GuestCluster) -> None:
    assert nat_script(cluster.nodes[1], cluster) is None
    assert nat_script(replace(cluster.frontend, nics=cluster.frontend.nics[:1]), cluster) is None


def test_the_script_names_network_and_interface(cluster: GuestCluster) -> None:
    script = nat_script(cluster.frontend, cluster)
    assert script is not None
    assert "private=10.22.0.0/16\npublic_mac=52:54:00:ff:00:01\n" in script
    assert "@" not in script
    assert f"ExecStart={NAT_SCRIPT}\n" in UNIT_TEXT


def test_shells_can_read_them(cluster: GuestCluster) -> None:
    script = nat_script(cluster.frontend, cluster) or ""
    for text in (script, nat_boot_command(script), NAT_ENABLE_COMMAND):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_without_the_interface_it_fails_and_says_so(cluster: GuestCluster) -> None:
    script = (nat_script(cluster.frontend, cluster) or "").replace("52:54:00:ff:00:01", "none")
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no interface has the MAC address" in done.stderr
