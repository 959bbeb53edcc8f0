"""A site on another machine, over ssh: image, seeds and consoles are transferred through libvirt alone."""

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from tests.e2e.workspace import Workspace
from tests.second_host import SecondHost, second_host

pytestmark = pytest.mark.guest


@pytest.fixture
def far(tmp_path: Path) -> Iterator[SecondHost]:
    with second_host(tmp_path / "far") as host:
        yield host


def test_a_cluster_runs_on_a_host_reached_by_ssh(workspace: Workspace, far: SecondHost) -> None:
    public = f"{{network: {far.network}, addresses: [{far.first_address}]}}"
    workspace.spec(computes=1, extra={"uri": f'"{far.uri}"', "pool": "default", "public": public})
    assert "uploaded" in workspace.run("apply", "cluster.yaml", "--auto-approve").out
    assert workspace.run("ssh", "trial-compute-0", "--", "hostname").out.strip() == "trial-compute-0"
    assert workspace.run("plan").out.startswith("No changes")
    connection = libvirt.open(f"{far.uri}&no_tty=1")
    assert {found.name().split(".")[0] for found in connection.listAllDomains()} == {"trial-frontend", "trial-compute-0"}
    workspace.run("clean", "trial", "--shutdown", "--auto-approve")
    assert connection.listAllDomains() == []
    assert [found.name() for found in connection.listAllNetworks()] == [far.network]
    assert connection.storagePoolLookupByName("default").listVolumes() == []
    connection.close()
