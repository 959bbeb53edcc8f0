"""Devices and pinned CPUs of hosts from the command line, at a simulated site."""

from shutil import copy, copytree

from tests.cli.harness import CommandLine
from tests.cli.test_flavors_and_quotas import EXAMPLES


def test_nodes_have_devices_and_cpus_for_themselves_until_they_are_cleaned(cli: CommandLine) -> None:
    copy(EXAMPLES / "devices.yaml", cli.directory / "cluster.yaml")
    copytree(EXAMPLES / "files", cli.directory / "files", dirs_exist_ok=True)
    plan = cli("plan").out
    assert "gpu gpu-0 gpu-1" in plan
    assert "gpu gpu-2" in plan
    assert "pinned to 2-9" in plan
    assert "pinned to 16-23" in plan
    cli("apply", "-y")
    assert "No changes" in cli("plan").out
    assert "gpu gpu-0 gpu-1" in cli("show", "learning-gpu-0").out
    assert ["pinned", "to", "2-9"] in [line.split() for line in cli("show", "learning-gpu-0").out.splitlines()]
    nodes = cli("list", "cluster", "learning").out
    assert "PINNED" in nodes
    assert "DEVICES" in nodes
    site = cli("list", "site", "rehearsal").out
    assert "devices gpu: 1 of 4 free" in site
    assert "cpus that nodes can be pinned to: 32; pinned: 2-9,16-23" in site
    (found,) = cli("list", "site", "rehearsal", "--json").json["sites"]
    assert [use["value"] for use in found["inventory"]["device_uses"]] == ["gpu-0", "gpu-1", "gpu-2"]
    cli("clean", "learning", "-y", "--shutdown", "--allow", "data-loss")
    assert "devices gpu: 4 of 4 free" in cli("list", "site", "rehearsal").out
