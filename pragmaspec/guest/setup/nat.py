"""The frontend as the gateway of its computes: IP forwarding and masquerading of the private network.

An idempotent script sets it up. cloud-init writes and runs it early in each boot (``bootcmd``), because computes that install
packages need the gateway long before the frontend has finished booting. A systemd unit runs it even if cloud-init is removed
later. Images with neither run it once their interfaces are up.
"""

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.guest_file import ALL_READ, GuestFile
from pragmaspec.guest.setup.scripts import NodeSetup, SetupScript, script_file, unit_file
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

if command -v nft >/dev/null; then
  nft -f - <<RULES
add table ip pragmaspec
delete table ip pragmaspec
table ip pragmaspec {
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr $private oifname "$public" masquerade
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ct state established,related accept
    iifname "$public" ip daddr $private drop
  }
}
RULES
elif command -v iptables >/dev/null; then
  rule() { iptables -w -t "$1" -C "$2" $3 2>/dev/null || iptables -w -t "$1" -I "$2" $3; }
  rule nat POSTROUTING "-s $private -o $public -j MASQUERADE"
  rule filter FORWARD "-i $public -d $private -j DROP"
  rule filter FORWARD "-i $public -d $private -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
  rule filter FORWARD "-s $private -o $public -j ACCEPT"
else
  echo "pragmaspec-nat: neither nft nor iptables is installed: add the package nftables to the frontend's image" >&2
  exit 1
fi
"""


def nat_setup(node: Node, cluster: GuestCluster) -> NodeSetup | None:
    """Return the setup of ``node`` as the gateway, or None if it is a compute or has no public address."""
    text = nat_script(node, cluster)
    if text is None:
        return None
    return NodeSetup(
        script=NAT,
        files=(script_file(NAT, text),),
        settings=(_SYSCTL,),
        written=(unit_file(NAT), _SYSCTL),
        boot_command=_boot_command(text),
        run_command=_enable_command(),
    )


def nat_script(node: Node, cluster: GuestCluster) -> str | None:
    """Return the script that makes ``node`` the gateway, or None if it is a compute or has no public address."""
    public = node.nic("public")
    if node.role != "frontend" or public is None:
        return None
    script = _SCRIPT.replace("@FIND@\n", _BY_MAC if public.mac else _BY_ROUTE)
    return script.replace("@PRIVATE@", cluster.allocation.private.cidr).replace("@MAC@", public.mac.lower())


def _boot_command(text: str) -> str:
    """Return a command for ``sh -c`` that installs the script and runs it."""
    directory = NAT.path.rpartition("/")[0]
    write = f"mkdir -p {directory}\ncat > {NAT.path} <<'PRAGMASPEC'\n{text}PRAGMASPEC\n"
    return f"{write}chmod 755 {NAT.path}\nexec {NAT.path}\n"


def _enable_command() -> str:
    path, target = NAT.link
    return f"mkdir -p {path.rpartition('/')[0]} && ln -sf {target} {path}"
