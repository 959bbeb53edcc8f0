"""The frontend as the gateway of its computes: IP forwarding and masquerading of the private network.

An idempotent script sets it up. cloud-init writes and runs it early in each boot (``bootcmd``), because computes that install
packages need the gateway long before the frontend has finished booting. A systemd unit runs it even if cloud-init is removed
later. Images with neither run it once their interfaces are up.
"""

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.resources import Node

NAT_SCRIPT = "/usr/local/sbin/pragmaspec-nat"
NAT_UNIT = "/etc/systemd/system/pragmaspec-nat.service"
NAT_SYSCTL = "/etc/sysctl.d/90-pragmaspec.conf"
NAT_ENABLE_COMMAND = (
    "mkdir -p /etc/systemd/system/multi-user.target.wants"
    " && ln -sf ../pragmaspec-nat.service /etc/systemd/system/multi-user.target.wants/pragmaspec-nat.service"
)

UNIT_TEXT = f"""\
[Unit]
Description=Gateway for the private network of this cluster
After=network.target
ConditionPathExists={NAT_SCRIPT}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={NAT_SCRIPT}

[Install]
WantedBy=multi-user.target
"""

SYSCTL_TEXT = "net.ipv4.ip_forward = 1\n"

_SCRIPT = """\
#!/bin/sh
# Written by pragmaspec: this node is the gateway of the private network.
set -eu
private=@PRIVATE@
public_mac=@MAC@

public=
for device in /sys/class/net/*; do
  if [ "$(cat "$device/address" 2>/dev/null)" = "$public_mac" ]; then public=${device##*/}; fi
done
if [ -z "$public" ]; then
  echo "pragmaspec-nat: no interface has the MAC address $public_mac of the public network" >&2
  exit 1
fi

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


def nat_boot_command(script: str) -> str:
    """Return a command for ``sh -c`` that installs ``script`` and runs it."""
    directory = NAT_SCRIPT.rpartition("/")[0]
    write = f"mkdir -p {directory}\ncat > {NAT_SCRIPT} <<'PRAGMASPEC'\n{script}PRAGMASPEC\n"
    return f"{write}chmod 755 {NAT_SCRIPT}\nexec {NAT_SCRIPT}\n"


def nat_script(node: Node, cluster: GuestCluster) -> str | None:
    """Return the script that makes ``node`` the gateway, or None if it is a compute or has no public address."""
    public = node.nic("public")
    if node.role != "frontend" or public is None:
        return None
    return _SCRIPT.replace("@PRIVATE@", cluster.allocation.private.cidr).replace("@MAC@", public.mac.lower())
