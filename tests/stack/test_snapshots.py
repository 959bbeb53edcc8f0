"""Observations of sites under the recorded names."""

from pathlib import Path

import libvirt
import pytest

from tests.cli.conftest import cli  # noqa: F401 - a fixture
from tests.cli.harness import CommandLine

SPEC = """\
images: {{tiny: {{source: ./disk.raw, format: raw}}}}
sites:
  {site}:
    provider: libvirt
    uri: test:///default
    overcommit: {{memory: 10}}
clusters:
  {cluster}:
    site: {site}
    image: tiny
    readiness: none
    public: none
    frontend: {{cpus: 1, memory: 128 MiB, disk: 1 MiB}}
    computes: {{count: 1, cpus: 1, memory: 128 MiB, disk: 1 MiB}}
"""


@pytest.mark.parametrize(("site", "cluster"), [("lab", "world"), ("attic", "hello"), ("attic", "world")])
def test_nodes_are_observed_under_their_new_names_after_a_rename(cli: CommandLine, site: str, cluster: str) -> None:  # noqa: F811 - the fixture itself
    """A libvirt site identifies resources without marks by name only, and the name of the site is part of their addresses."""
    connection = libvirt.open("test:///default")  # the simulated host exists as long as a connection to it is open
    try:
        file: Path = cli.directory / "cluster.yaml"
        file.write_text(SPEC.format(site="lab", cluster="hello"))
        cli("apply", "-y")
        moved = "moved:\n"
        moved += "  - {from: hello, to: world}\n" if cluster == "world" else ""
        moved += "  - {from: lab, to: attic, kind: site}\n" if site == "attic" else ""
        file.write_text(SPEC.format(site=site, cluster=cluster) + moved)
        cli("apply", "-y")
        assert "No drift" in cli("status").out
        assert {node["observed"] for node in cli("status", "--json").json["nodes"]} == {"running"}
        (machine,) = [each for each in connection.listAllDomains() if each.name().startswith("hello-compute-0.")]
        machine.destroy()
        machine.undefine()
        status = cli("status", "--json").json
        assert {node["name"]: node["observed"] for node in status["nodes"]} == {
            f"{cluster}-frontend": "running",
            f"{cluster}-compute-0": "undefined",
        }
        assert [(each["address"], each["kind"]) for each in status["drift"]] == [
            (f"{site}/{cluster}/node/{cluster}-compute-0", "undefined")
        ]
        cli("clean", cluster, "--shutdown", "--allow", "data-loss")
        assert [each.name() for each in connection.listAllDomains()] == ["test"]
    finally:
        connection.close()
