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


def test_with_one_interface_the_script_masquerades_only_what_leaves_the_private_network(cluster: GuestCluster) -> None:
    private = cluster.frontend.nics[0]
    public = replace(cluster.frontend.nics[1], mac=private.mac, prefix=32, gateway=None, translated=True)
    script = nat_script(replace(cluster.frontend, nics=(private, public)), cluster) or ""
    assert "public_mac=52:54:00:ff:00:00\n" in script
    assert 'ip saddr $private ip daddr != $private oifname "$public" masquerade\n' in script
    assert "ip saddr != $private ip daddr $private drop\n" in script
    assert "/send_redirects" in script
    assert "iifname" not in script
    assert "@" not in script
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_with_two_interfaces_redirects_stay_as_they_are(cluster: GuestCluster) -> None:
    assert "send_redirects" not in (nat_script(cluster.frontend, cluster) or "send_redirects")
