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


def test_edited_devices_and_cpus_of_a_machine_are_drift_that_a_plan_repairs(cli: CommandLine) -> None:
    copy(EXAMPLES / "devices.yaml", cli.directory / "cluster.yaml")
    copytree(EXAMPLES / "files", cli.directory / "files", dirs_exist_ok=True)
    cli("apply", "-y")
    (file,) = (path for path in cli.directory.rglob("*.jsonl") if '"machine"' in path.read_text())
    file.write_text(file.read_text().replace('["gpu-0","gpu-1"]', '["gpu-0","gpu-3"]').replace('"pinned":[2,', '"pinned":[30,'))
    drift = "has gpu-0 and gpu-3, recorded gpu-0 and gpu-1"
    assert drift in " ".join(cli("status").out.split())
    plan = " ".join(cli("plan").out.split())
    assert drift in plan
    assert "is pinned to 3-9,30, recorded 2-9" in plan
    assert "reboot" in plan
    cli("apply", "-y")
    assert "No changes" in cli("plan").out
