"""One image for three neighbouring hosts behind ssh, through the installed command: uploaded only once."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import libvirt
import pytest

from tests.e2e.workspace import Workspace
from tests.second_host import SecondHost, one_network, second_host

pytestmark = pytest.mark.hypervisor
SECTOR, MIB = 512, 2**20
SIZE = 24 * MIB
HOSTS = 3

_SPEC = """\
images:
  bare: {{source: ./bare.raw, format: raw}}
sites:
{sites}
clusters:
{clusters}
"""
_SITE = '  {name}: {{provider: libvirt, uri: "{uri}", virt_type: qemu, neighbourhood: campus, public: {{network: {network}}}}}'
_CLUSTER = '  trial{name}: {{site: {name}, image: bare, state: "off", frontend: {{cpus: 1, memory: 128 MiB}}}}'


@pytest.fixture
def campus(tmp_path: Path, hypervisor: None) -> Iterator[tuple[tuple[SecondHost, ...], str]]:
    """The hosts, and this machine's device at the switch that connects them."""
    with ExitStack() as stack:
        hosts = tuple(stack.enter_context(second_host(tmp_path / f"host{each}", each)) for each in range(HOSTS))
        yield hosts, stack.enter_context(one_network(hosts))


def test_an_image_is_uploaded_once_and_copied_between_hosts(campus: tuple[tuple[SecondHost, ...], str], tmp_path: Path) -> None:
    hosts, device = campus
    workspace = Workspace(tmp_path / "work", tmp_path / "home", tmp_path)
    content = bytes(SECTOR - 2) + b"\x55\xaa" + os.urandom(SIZE - SECTOR)
    (workspace.directory / "bare.raw").write_bytes(content)
    digest = sha256(content).hexdigest()

    def write(*numbers: int) -> None:
        named = [(f"far{each}", hosts[each]) for each in numbers]
        sites = "\n".join(_SITE.format(name=name, uri=host.uri, network=host.network) for name, host in named)
        clusters = "\n".join(_CLUSTER.format(name=name) for name, _ in named)
        (workspace.directory / "cluster.yaml").write_text(_SPEC.format(sites=sites, clusters=clusters))

    def images(host: SecondHost) -> set[str]:
        connection = libvirt.open(f"{host.uri}&no_tty=1")
        try:
            listed = connection.storagePoolLookupByName("default").listVolumes()
            return {name.rpartition(".")[2] for name in listed if digest[:16] in name}
        finally:
            connection.close()

    write(0, 1, 2)
    planned = workspace.run("plan").out
    assert planned.count("· uploaded") == 1
    assert planned.count("copied from peers in campus") == HOSTS - 1
    before = sent_bytes(device)
    workspace.run("apply", "--auto-approve")
    assert SIZE < sent_bytes(device) - before < 1.3 * SIZE
    assert [images(host) for host in hosts] == [{"raw", "complete", "ref"}] * HOSTS

    write(0, 2)
    workspace.run("apply", "--auto-approve", "--allow", "data-loss")
    assert [images(host) for host in hosts] == [{"raw", "complete", "ref"}, set(), {"raw", "complete", "ref"}]
    write(0, 1, 2)
    assert "· uploaded" not in workspace.run("plan").out
    before = sent_bytes(device)
    workspace.run("apply", "--auto-approve")
    assert sent_bytes(device) - before < 0.3 * SIZE, "it was copied from the other hosts"
    for host in hosts:
        assert sha256((host.images / f"pragmaspec-{digest[:16]}-disk.raw").read_bytes()).hexdigest() == digest
    spec = workspace.directory / "cluster.yaml"
    spec.write_text(spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
    workspace.run("apply", "--auto-approve", "--allow", "data-loss")
    assert [images(host) for host in hosts] == [set()] * HOSTS


def sent_bytes(device: str) -> int:
    return int(Path(f"/sys/class/net/{device}/statistics/tx_bytes").read_text())
