"""A cluster at OpenStack as a plain script with openstacksdk, the reference of openstack_cloud.py: no plan, no state.

python benchmarks/openstack_script.py NAME NODES IMAGE_ID USER_DATA_FILE

Makes what pragmaspec makes for a cluster without a public address: a network with a subnet, a router, a security group with its
rules, and, with a thread per server, a port with a chosen address and MAC, and a server on it with config drive and user-data.
Then polls one listing until all servers are active.
"""

import sys
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openstack

NAME, NODES, IMAGE, USER_DATA = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
FLAVOR, ZONE = "tiny", "fake"
PAUSE_S = 1.0
ANYWHERE = {"direction": "ingress", "ethertype": "IPv4", "remote_ip_prefix": "0.0.0.0/0"}

cloud = openstack.connect()
(flavor,) = (each for each in cloud.compute.flavors() if each.name == FLAVOR)
group = cloud.network.create_security_group(name=NAME)
rules = [
    {"direction": "ingress", "ethertype": "IPv4", "remote_group_id": group.id},
    {**ANYWHERE, "protocol": "tcp", "port_range_min": 22, "port_range_max": 22},
    {**ANYWHERE, "protocol": "icmp"},
]
list(cloud.network.create_security_group_rules([{"security_group_id": group.id, **rule} for rule in rules]))
network = cloud.network.create_network(name=NAME)
subnet = cloud.network.create_subnet(
    network_id=network.id,
    name=NAME,
    ip_version=4,
    cidr="10.0.0.0/24",
    gateway_ip="10.0.0.1",
    allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.3"}, {"start": "10.0.0.5", "end": "10.0.0.9"}],
)
(external,) = cloud.network.networks(is_router_external=True)
router = cloud.network.create_router(name=NAME, external_gateway_info={"network_id": external.id})
cloud.network.add_interface_to_router(router, subnet_id=subnet.id)
user_data = b64encode(USER_DATA.read_bytes()).decode()


def create(number: int) -> str:
    """Create a server, and return its id."""
    port = cloud.network.create_port(
        name=f"{NAME}-{number}",
        network_id=network.id,
        fixed_ips=[{"ip_address": f"10.0.0.{10 + number}"}],
        mac_address=f"52:54:00:62:00:{number:02x}",
        security_groups=[group.id],
    )
    server = cloud.compute.create_server(
        name=f"{NAME}-{number}",
        image_id=IMAGE,
        flavor_id=flavor.id,
        networks=[{"port": port.id}],
        availability_zone=ZONE,
        config_drive=True,
        user_data=user_data,
    )
    return str(server.id)


with ThreadPoolExecutor(NODES) as pool:
    wanted = set(pool.map(create, range(NODES)))
while True:
    found = {each.id: each.status for each in cloud.compute.servers() if each.id in wanted}
    if set(found.values()) == {"ACTIVE"} and len(found) == NODES:
        break
    if "ERROR" in found.values():
        sys.exit(f"A server could not be built: {found}")
    time.sleep(PAUSE_S)
