"""A web image on a host behind ssh: downloaded and pruned there, through the installed command."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import libvirt
import pytest

from tests.e2e.workspace import Workspace
from tests.second_host import HERE, THERE, SecondHost, second_host
from tests.web_server import Web, web_server

pytestmark = pytest.mark.hypervisor
SECTOR = 512

_SPEC = """\
images:
  bare: {{source: "{url}", sha256: {digest}, format: raw}}
sites:
  far: {{provider: libvirt, uri: "{uri}", virt_type: qemu, fetch: {fetch}, public: {{network: {network}}}}}
clusters:
  trial: {{site: far, image: bare, state: "off", frontend: {{cpus: 1, memory: 128 MiB}}}}
"""


@pytest.fixture
def far(tmp_path: Path, hypervisor: None) -> Iterator[SecondHost]:
    with second_host(tmp_path / "far") as host:
        yield host


@pytest.fixture
def web(far: SecondHost) -> Iterator[Web]:
    with web_server(HERE) as web:
        web.content = bytes(SECTOR - 2) + b"\x55\xaa" + os.urandom(2**20 - SECTOR)
        yield web


def test_the_host_downloads_and_prunes(far: SecondHost, web: Web, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work", tmp_path / "home", tmp_path)
    digest = sha256(web.content).hexdigest()
    spec = workspace.directory / "cluster.yaml"

    def write(fetch: str) -> None:
        values = {"url": web.url, "uri": far.uri, "network": far.network}
        spec.write_text(_SPEC.format(digest=digest, fetch=fetch, **values))

    def images() -> set[str]:
        connection = libvirt.open(f"{far.uri}&no_tty=1")
        try:
            listed = connection.storagePoolLookupByName("default").listVolumes()
            return {name.rpartition(".")[2] for name in listed if digest[:16] in name}
        finally:
            connection.close()

    write("auto")
    assert f"uploaded, or fetched by the host from {HERE} if that is slow" in _flat(workspace.run("plan").out)
    write("host")
    assert f"fetched by the host from {HERE}" in workspace.run("plan").out
    assert web.asked == [HERE], "once, to inspect it"
    workspace.run("apply", "--auto-approve")
    assert web.asked == [HERE, THERE]
    assert images() == {"raw", "complete", "ref"}
    assert workspace.run("plan").out.startswith("No changes")
    workspace.run("state", "rm", f"far/image/{digest[:16]}", "--auto-approve")
    spec.write_text(spec.read_text().partition("clusters:")[0] + "clusters: {}\n")
    assert "not used by any stack" in workspace.run("apply", "--prune-images", "--auto-approve").out
    assert images() == set()


def _flat(text: str) -> str:
    return " ".join(text.split())
