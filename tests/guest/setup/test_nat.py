import subprocess

from msgspec.structs import replace

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.setup.nat import NAT, nat_script, nat_setup
from pragmaspec.guest.setup.scripts import unit_text


def test_computes_and_frontends_without_public_address_are_no_gateways(cluster: GuestCluster) -> None:
    assert nat_script(cluster.nodes[1], cluster) is None
    assert nat_script(replace(cluster.frontend, nics=cluster.frontend.nics[:1]), cluster) is None


def test_the_script_contains_network_and_mac_address(cluster: GuestCluster) -> None:
    script = nat_script(cluster.frontend, cluster)
    assert script is not None
    assert "private=10.22.0.0/16\npublic_mac=52:54:00:ff:00:01\n" in script
    assert "@" not in script
    assert f"ExecStart={NAT.path}\n" in unit_text(NAT)


def test_the_shell_accepts_the_scripts(cluster: GuestCluster) -> None:
    setup = nat_setup(cluster.frontend, cluster)
    assert setup is not None
    for text in (setup.files[0].content, setup.boot_command, setup.run_command):
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_the_script_fails_if_the_interface_is_missing(cluster: GuestCluster) -> None:
    script = (nat_script(cluster.frontend, cluster) or "").replace("52:54:00:ff:00:01", "none")
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no interface has the MAC address" in done.stderr
