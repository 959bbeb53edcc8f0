"""The frontend as the gateway of its computes: IP forwarding and masquerading of the private network.

An idempotent script sets it up. cloud-init writes and runs it early in each boot (``bootcmd``), because computes that install
packages need the gateway long before the frontend has finished booting. A systemd unit runs it even if cloud-init is removed
later. Images with neither run it once their interfaces are up.

Where the site translates the public address, the frontend has one interface for both sides. Packets of computes leave through the
interface by which they came, so that the kernel would advise computes to send them to the site's router themselves (a redirect of
ICMP), which does not translate their addresses.
"""

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.guest_file import ALL_READ, GuestFile
from pragmaspec.guest.setup.scripts import NodeSetup, SetupScript, enable_unit, install_and_run, script_file, unit_file
from pragmaspec.resources import Node

NAT = SetupScript(
    name="pragmaspec-nat", description="Gateway for the private network of this cluster", ordering=("After=network.target",)
)
_SYSCTL = GuestFile(path="/etc/sysctl.d/90-pragmaspec.conf", mode=ALL_READ, content="net.ipv4.ip_forward = 1\n")

_BY_MAC = """\
public_mac=@MAC@

public=
for device in /sys/class/net/*; do
  if [ "$(cat "$device/address" 2>/dev/null)" = "$public_mac" ]; then public=${device##*/}; fi
done
if [ -z "$public" ]; then
  echo "pragmaspec-nat: no interface has the MAC address $public_mac of the public network" >&2
  exit 1
fi

"""
_BY_ROUTE = """\

public=$(sed -n 's/^\\([^[:space:]]*\\)[[:space:]]*00000000[[:space:]].*/\\1/p' /proc/net/route | head -n 1)
if [ -z "$public" ]; then
  echo "pragmaspec-nat: there is no default route, which shows the public interface" >&2
  exit 1
fi

"""
"""For an interface whose MAC the site chooses when the frontend boots."""

_SCRIPT = """\
#!/bin/sh
# Written by pragmaspec: this node is the gateway of the private network.
set -eu
private=@PRIVATE@
@FIND@
echo 1 > /proc/sys/net/ipv4/ip_forward
@REDIRECTS@
if command -v nft >/dev/null; then
  nft -f - <<RULES
add table ip pragmaspec
delete table ip pragmaspec
table ip pragmaspec {
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    @MASQUERADE@ masquerade
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    @FROM_OUTSIDE@ drop
  }
}
RULES
elif command -v iptables >/dev/null; then
  rule() { iptables -w -t "$1" -C "$2" $3 2>/dev/null || iptables -w -t "$1" -I "$2" $3; }
  rule nat POSTROUTING "@OUTWARD_OPTIONS@ -j MASQUERADE"
  rule filter FORWARD "@INWARD_OPTIONS@ -j DROP"
  rule filter FORWARD "@INWARD_OPTIONS@ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
  rule filter FORWARD "@OUTWARD_OPTIONS@ -j ACCEPT"
else
  echo "pragmaspec-nat: neither nft nor iptables is installed: add the package nftables to the frontend's image" >&2
  exit 1
fi
"""


_TWO_INTERFACES = {
    "REDIRECTS": "",
    "MASQUERADE": 'ip saddr $private oifname "$public"',
    "FROM_OUTSIDE": 'iifname "$public" ip daddr $private',
    "OUTWARD_OPTIONS": "-s $private -o $public",
    "INWARD_OPTIONS": "-i $public -d $private",
}
_ONE_INTERFACE = {
    "REDIRECTS": 'for each in all "$public"; do echo 0 > "/proc/sys/net/ipv4/conf/$each/send_redirects"; done\n',
    "MASQUERADE": 'ip saddr $private ip daddr != $private oifname "$public"',
    "FROM_OUTSIDE": "ip saddr != $private ip daddr $private",
    "OUTWARD_OPTIONS": "-s $private ! -d $private -o $public",
    "INWARD_OPTIONS": "! -s $private -d $private",
}
"""The part of the script that depends on whether the frontend has an interface of its own for the public address."""


def nat_setup(node: Node, cluster: GuestCluster) -> NodeSetup | None:
    """Return the setup of ``node`` as the gateway, or None if it is none."""
    text = nat_script(node, cluster)
    if text is None:
        return None
    return NodeSetup(
        script=NAT,
        files=(script_file(NAT, text),),
        settings=(_SYSCTL,),
        written=(unit_file(NAT), _SYSCTL),
        boot_command=install_and_run(NAT, text),
        run_command=enable_unit(NAT),
    )


def nat_script(node: Node, cluster: GuestCluster) -> str | None:
    """Return the script that makes ``node`` the gateway, or None if it is none.

    Gateways are frontends with a public address, in private networks without a router of the site.
    """
    public, private = node.nic("public"), cluster.allocation.private
    if node.role != "frontend" or public is None or private.gateway is not None:
        return None
    script = _SCRIPT.replace("@FIND@\n", _BY_MAC if public.mac else _BY_ROUTE)
    parts = {**(_ONE_INTERFACE if public.translated else _TWO_INTERFACES), "PRIVATE": private.cidr, "MAC": public.mac.lower()}
    for name, text in parts.items():
        script = script.replace(f"@{name}@", text)
    return script
