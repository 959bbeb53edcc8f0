"""One spec with clusters at a hypervisor and at an OpenStack cloud: one plan, one apply, real guests at both.

The hypervisor is a host of its own, behind ssh: the one of this machine belongs to other tests, which run at the same time.
"""

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
from openstack.connection import Connection

from tests.e2e.project import LIMIT_S, MARKS, give_access, remains
from tests.e2e.workspace import Workspace
from tests.guest_images.cloud_tiny import build_cloud_tiny
from tests.labs.openstack.lab import OpenStackLab
from tests.second_host import SecondHost, second_host

pytestmark = MARKS

HOST_NUMBER = 9
"""Other tests use hosts 0 to 2, perhaps at the same time."""
NODES = {
    "lab/develop/node/develop-frontend",
    "lab/develop/node/develop-compute-0",
    "campus/measure/node/measure-frontend",
    "campus/measure/node/measure-compute-0",
}

SPEC = """\
images:
  tiny:
    source: {tiny}/disk.qcow2
    kernel: {tiny}/vmlinuz
    initrd: {tiny}/initrd
    cmdline: console=ttyS0 quiet
  cloud-tiny: {{source: {cloud_tiny}, format: qcow2}}
sites:
  lab:
    provider: libvirt
    uri: "{host.uri}"
    virt_type: qemu
    public: {{network: {host.network}, addresses: [{host.first_address}]}}
  campus: {{provider: openstack, cloud: lab-demo, zones: nova}}
clusters:
  develop:
    site: lab
    image: tiny
    readiness: ssh
    frontend: {{cpus: 1, memory: 192 MiB}}
    computes: {{count: 1, cpus: 1, memory: 192 MiB}}
  measure:
    site: campus
    image: cloud-tiny
    readiness: ssh
    frontend: {{cpus: 1, memory: 128 MiB}}
    computes: {{count: 1, cpus: 1, memory: 128 MiB}}
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondHost]:
    with second_host(tmp_path_factory.mktemp("far") / "host", HOST_NUMBER) as started:
        yield started


@pytest.fixture(scope="module")
def both(openstack_lab: OpenStackLab, host: SecondHost, tiny_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A working directory with the spec."""
    directory = tmp_path_factory.mktemp("both")
    workspace = Workspace(directory / "work", directory / "home", tiny_image)
    give_access(workspace, openstack_lab)
    cloud_tiny = build_cloud_tiny(Path.home() / ".cache" / "pragmaspec-tests" / "cloud-tiny")
    text = SPEC.format(tiny=tiny_image, cloud_tiny=cloud_tiny, host=host)
    (workspace.directory / "cluster.yaml").write_text(text, encoding="utf-8")
    return workspace


def test_one_plan_and_one_apply_make_both_clusters(both: Workspace) -> None:
    planned = both.json("plan", "cluster.yaml")["actions"]
    assert {action["address"] for action in planned if action["verb"] == "boot"} == NODES
    both.run("apply", "cluster.yaml", "--auto-approve", limit_s=LIMIT_S)
    assert both.run("plan", "--detailed-exitcode", limit_s=LIMIT_S).out.startswith("No changes")


def test_nodes_of_both_clusters_answer(both: Workspace) -> None:
    """Computes through their frontend."""
    for node in (address.rpartition("/")[2] for address in sorted(NODES)):
        assert both.run("ssh", node, "--", "hostname", limit_s=LIMIT_S).out.strip() == node


def test_damage_at_one_site_is_drift_of_that_site_only(both: Workspace, cloud: Connection) -> None:
    server = cloud.compute.find_server("measure-compute-0", ignore_missing=False)
    cloud.compute.delete_server(server)
    cloud.compute.wait_for_delete(server)
    planned = both.json("plan")
    assert [found["address"] for found in planned["drift"]] == ["campus/measure/node/measure-compute-0"]
    assert {action["address"] for action in planned["actions"]} == {"campus/measure/node/measure-compute-0"}


def test_clean_leaves_nothing_at_both_sites(both: Workspace, cloud: Connection, host: SecondHost) -> None:
    assert remains(cloud, both)
    for cluster in ("develop", "measure"):
        both.run("clean", cluster, "--shutdown", "--auto-approve", limit_s=LIMIT_S)
    connection = libvirt.open(f"{host.uri}&no_tty=1")
    assert connection.listAllDomains() == []
    assert [found.name() for found in connection.listAllNetworks()] == [host.network]
    assert connection.storagePoolLookupByName("default").listVolumes() == []
    connection.close()
    assert remains(cloud, both) == []
