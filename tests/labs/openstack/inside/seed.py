"""The state that an operator of a site creates. Runs in the lab at its first start, and finds all objects before it creates them.

``seed.py identity``: projects, users, services and endpoints. ``seed.py wait``: wait for agents and hypervisors.
``seed.py site``: flavors, zones, networks, the image, and EC2 credentials.
"""

import os
import sys
import time
from pathlib import Path

import openstack

API, NET, CAMPUS_NET = os.environ["API"], os.environ["NET"], os.environ["CAMPUS_NET"]
FAKE_HOSTS = int(os.environ["FAKE_HOSTS"])
EC2 = os.environ["EC2"] == "1"
PASSWORD = "secret"
AGENTS = {"neutron-linuxbridge-agent", "neutron-dhcp-agent", "neutron-l3-agent", "neutron-metadata-agent",
          "cinder-scheduler", "cinder-volume"}  # fmt: skip
AGENT_LIMIT_S = 400
FLAVORS = {"tiny": (128, 1, 1), "small": (512, 1, 2), "medium": (1024, 1, 10), "large": (4096, 4, 20), "huge": (1048576, 64, 20)}
"""Memory in MiB, CPUs, disk in GB. No hypervisor has room for ``huge``."""


def cloud(user: str) -> openstack.connection.Connection:
    """Return a connection as ``user``, whose project has the same name."""
    return openstack.connect(
        auth_url=f"http://{API}:5000/v3",
        username=user,
        password=PASSWORD,
        project_name=user,
        user_domain_name="Default",
        project_domain_name="Default",
        region_name="RegionOne",
    )


def create_identity() -> None:
    identity = cloud("admin").identity
    domain = identity.get_domain("default")
    project = identity.find_project("service") or identity.create_project(name="service", domain_id=domain.id)
    roles = [identity.find_role("admin"), identity.find_role("service") or identity.create_role(name="service")]
    for name, kind, url in service_endpoints():
        user = identity.find_user(name) or identity.create_user(
            name=name, password=PASSWORD, domain_id=domain.id, default_project_id=project.id
        )
        for role in roles:
            identity.assign_project_role_to_user(project, user, role)
        service = identity.find_service(name) or identity.create_service(name=name, type=kind)
        if not list(identity.endpoints(service_id=service.id)):
            for interface in ("public", "internal", "admin"):
                identity.create_endpoint(service_id=service.id, interface=interface, region_id="RegionOne", url=url)
    for name in ("demo", "other"):
        project = identity.find_project(name) or identity.create_project(name=name, domain_id=domain.id)
        user = identity.find_user(name) or identity.create_user(
            name=name, password=PASSWORD, domain_id=domain.id, default_project_id=project.id
        )
        identity.assign_project_role_to_user(project, user, identity.find_role("member"))


def service_endpoints() -> list[tuple[str, str, str]]:
    """Return name, type and URL of each service."""
    services = [
        ("glance", "image", ":9292"),
        ("placement", "placement", ":8778"),
        ("nova", "compute", ":8774/v2.1"),
        ("neutron", "network", ":9696"),
        ("cinder", "volumev3", ":8776/v3/%(project_id)s"),
    ]
    if EC2:
        services += [("ec2api", "ec2", ":8788/")]
    return [(name, kind, f"http://{API}{url}") for name, kind, url in services]


def wait_for_agents() -> None:
    admin = cloud("admin")
    hosts = {f"lab{number}" for number in range(1, 2 + FAKE_HOSTS)}
    end = time.monotonic() + AGENT_LIMIT_S
    while True:
        agents, hypervisors = set(), set()
        try:
            agents = {agent.binary for agent in admin.network.agents() if agent.is_alive}
            volumes = admin.block_storage.get("/os-services").json()["services"]
            agents |= {each["binary"] for each in volumes if each["state"] == "up"}
            hypervisors = {each.host for each in admin.compute.services() if each.binary == "nova-compute" and each.state == "up"}
        except openstack.exceptions.SDKException as error:
            print(f"not yet: {error}", flush=True)  # noqa: T201 - the log of the start
        if agents >= AGENTS and hypervisors >= hosts:
            return
        if time.monotonic() > end:
            sys.exit(f"not up after {AGENT_LIMIT_S} s: {sorted(AGENTS - agents)} {sorted(hosts - hypervisors)}")
        time.sleep(1)


def create_site() -> None:
    admin = cloud("admin")
    for name, (memory_mib, cpus, disk_gb) in FLAVORS.items():
        if not admin.compute.find_flavor(name):
            admin.compute.create_flavor(name=name, ram=memory_mib, vcpus=cpus, disk=disk_gb)
    if FAKE_HOSTS and not admin.compute.find_aggregate("fake"):
        aggregate = admin.compute.create_aggregate(name="fake", availability_zone="fake")
        for number in range(2, 2 + FAKE_HOSTS):
            admin.compute.add_host_to_aggregate(aggregate, f"lab{number}")
    create_network(admin, "public", NET, is_router_external=True)
    create_network(admin, "campus", CAMPUS_NET, is_shared=True)
    if not admin.image.find_image("tiny"):
        with Path("/lab/guest.qcow2").open("rb") as file:
            admin.image.create_image(
                name="tiny",
                disk_format="qcow2",
                container_format="bare",
                data=file,
                visibility="public",
                min_disk=1,
                min_ram=128,
                hw_disk_bus="virtio",
                hw_vif_model="virtio",
                hw_rng_model="virtio",
            )
    create_ec2_credentials()


def create_network(admin: openstack.connection.Connection, name: str, net: str, **kind: bool) -> None:
    """Create a flat network on the physical network of the same name. A shared one has DHCP."""
    if admin.network.find_network(name):
        return
    network = admin.network.create_network(name=name, provider_network_type="flat", provider_physical_network=name, **kind)
    admin.network.create_subnet(
        network_id=network.id,
        name=name,
        ip_version=4,
        cidr=f"{net}.0/24",
        gateway_ip=f"{net}.1",
        is_dhcp_enabled="is_shared" in kind,
        allocation_pools=[{"start": f"{net}.10", "end": f"{net}.99"}],
    )


def create_ec2_credentials() -> None:
    path = Path("/lab/ec2.env")
    if path.exists():
        return
    demo = cloud("demo")
    url = f"http://{API}:5000/v3/users/{demo.current_user_id}/credentials/OS-EC2"
    credential = demo.session.post(url, json={"tenant_id": demo.current_project_id}).json()["credential"]
    path.write_text(f"AWS_ACCESS_KEY_ID={credential['access']}\nAWS_SECRET_ACCESS_KEY={credential['secret']}\n")


{"identity": create_identity, "wait": wait_for_agents, "site": create_site}[sys.argv[1]]()
