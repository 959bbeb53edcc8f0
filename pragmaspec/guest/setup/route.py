"""The route of a compute through the frontend, where the site's DHCP names a router that computes cannot use.

Two routes, each to one half of all addresses, precede every default route whatever its metric is, so they stay in force when the
lease is renewed. Link-local addresses, at which clouds have services for their machines, are no addresses of other networks.
"""

from pragmaspec.guest.contract.cluster import GuestCluster
from pragmaspec.guest.setup.scripts import NodeSetup, SetupScript, enable_unit, install_and_run, script_file, unit_file
from pragmaspec.resources import Node

ROUTE = SetupScript(
    name="pragmaspec-route",
    description="Route of this node through its frontend",
    ordering=("Wants=network-online.target", "After=network-online.target"),
)

_SCRIPT = """\
#!/bin/sh
# Written by pragmaspec: this node reaches other networks through the frontend of its cluster.
set -eu
gateway=@GATEWAY@

device=$(ip -4 route get "$gateway" | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
if [ -z "$device" ]; then
  echo "pragmaspec-route: there is no interface in the network of the frontend, $gateway" >&2
  exit 1
fi
ip route replace 169.254.0.0/16 dev "$device"
ip route replace 0.0.0.0/1 via "$gateway" dev "$device"
ip route replace 128.0.0.0/1 via "$gateway" dev "$device"
"""


def route_setup(node: Node, cluster: GuestCluster) -> NodeSetup | None:
    """Return the setup of the route, or None if ``node`` needs none."""
    text = route_script(node, cluster)
    if text is None:
        return None
    return NodeSetup(
        script=ROUTE,
        files=(script_file(ROUTE, text),),
        written=(unit_file(ROUTE),),
        boot_command=install_and_run(ROUTE, text),
        run_command=enable_unit(ROUTE),
    )


def route_script(node: Node, cluster: GuestCluster) -> str | None:
    """Return the script that sets the route, or None if the interfaces of ``node`` are configured with it, or it has none."""
    private, nic = cluster.allocation.private, node.nic("private")
    if not private.dhcp or private.gateway is not None or nic is None or nic.gateway is None:
        return None
    return _SCRIPT.replace("@GATEWAY@", nic.gateway)
