"""What sites say now, in the names that the records have."""

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
def test_after_a_rename_every_node_is_found(cli: CommandLine, site: str, cluster: str) -> None:  # noqa: F811 - the fixture itself
    """At a libvirt site, which knows what lost its marks by names alone, the site's own name is part of what it tells."""
    world = libvirt.open("test:///default")  # lives as long as anybody has it open
    try:
        file: Path = cli.directory / "cluster.yaml"
        file.write_text(SPEC.format(site="lab", cluster="hello"))
        cli("apply", "-y")
        said = "moved:\n"
        said += "  - {from: hello, to: world}\n" if cluster == "world" else ""
        said += "  - {from: lab, to: attic, kind: site}\n" if site == "attic" else ""
        file.write_text(SPEC.format(site=site, cluster=cluster) + said)
        cli("apply", "-y")
        assert "No drift" in cli("status").out
        assert {node["observed"] for node in cli("status", "--json").json["nodes"]} == {"running"}
        (machine,) = [each for each in world.listAllDomains() if each.name().startswith("hello-compute-0.")]
        machine.destroy()
        machine.undefine()
        seen = cli("status", "--json").json
        assert {node["name"]: node["observed"] for node in seen["nodes"]} == {
            f"{cluster}-frontend": "running",
            f"{cluster}-compute-0": "undefined",
        }
        assert [(each["address"], each["kind"]) for each in seen["drift"]] == [
            (f"{site}/{cluster}/node/{cluster}-compute-0", "undefined")
        ]
        cli("clean", cluster, "--shutdown", "--allow", "data-loss")
        assert [each.name() for each in world.listAllDomains()] == ["test"]
    finally:
        world.close()
