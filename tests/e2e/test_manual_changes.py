"""Changes made with virsh: the plan shows them, one apply repairs them, and no data is lost without consent."""

import subprocess

import libvirt
import pytest

from tests.e2e.conftest import POOL_DIRECTORY
from tests.e2e.workspace import URI, Workspace, connect, domain, listing

pytestmark = pytest.mark.guest

NODE = "trial-frontend"
MIB = 1024


def virsh(*arguments: str) -> str:
    done = subprocess.run(["virsh", "-q", "-c", URI, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def unwrapped(text: str) -> str:
    """``text`` without line breaks."""
    return " ".join(text.split())


def applied(workspace: Workspace, *options: str) -> None:
    workspace.run("apply", "cluster.yaml", "--auto-approve", *options)
    assert workspace.json("plan")["actions"] == []


def node(workspace: Workspace) -> dict[str, object]:
    (found,) = workspace.json("status")["nodes"]
    return found


def disks() -> dict[str, str]:
    """The disks of the node's definition: target → file."""
    lines = virsh("domblklist", domain(NODE).name(), "--inactive").splitlines()
    return dict(line.split() for line in lines if line.strip())


@pytest.fixture(scope="module")
def running(workspace: Workspace) -> Workspace:
    workspace.spec(computes=0, readiness="none")
    applied(workspace)
    return workspace


def test_a_changed_definition_is_replaced_and_additions_are_kept(running: Workspace) -> None:
    name, number = domain(NODE).name(), domain(NODE).ID()
    added = POOL_DIRECTORY / "theirs.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", added, "1M"], check=True)
    virsh("setmaxmem", name, str(256 * MIB), "--config")
    virsh("attach-disk", name, str(added), "vdc", "--subdriver", "qcow2", "--persistent")
    virsh("detach-disk", name, "vdb", "--config")
    output = unwrapped(running.run("plan", "--detailed-exitcode", status=2).out)
    assert "memory is 256 MiB (192 MiB in use) in its definition, recorded 192 MiB" in output
    assert "disk vdb is missing in its definition" in output
    assert f"disk vdc {added} was added by hand" in output
    assert "Nothing is rebooted, rebuilt or lost." in output
    applied(running)
    assert domain(NODE).ID() == number
    assert domain(NODE).maxMemory() == 192 * MIB
    assert disks().keys() == {"vda", "vdb", "vdc"}
    running.spec(computes=0, readiness="none", frontend="{cpus: 1, memory: 160 MiB}")
    applied(running)
    assert (domain(NODE).ID() == number, domain(NODE).maxMemory(), disks()["vdc"]) == (False, 160 * MIB, str(added))


def test_a_changed_processor_is_restored(running: Workspace) -> None:
    definition = domain(NODE).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    assert ">Nehalem<" in definition
    connect().defineXML(definition.replace(">Nehalem<", ">Westmere<").replace("name='popcnt'", "name='aes'"))
    output = unwrapped(running.run("plan").out)
    assert "cpu model is Westmere in its definition, recorded Nehalem" in output
    assert "Nothing is rebooted, rebuilt or lost." in output
    domain(NODE).destroy()
    domain(NODE).create()
    assert "cpu model is Westmere, recorded Nehalem" in unwrapped(running.run("plan").out)
    applied(running)
    assert ">Nehalem<" in domain(NODE).XMLDesc()


def test_a_paused_machine_is_resumed(running: Workspace) -> None:
    number = domain(NODE).ID()
    domain(NODE).suspend()
    assert (node(running)["observed"], node(running)["observed_reason"]) == ("paused", "by a user")
    assert [action["verb"] for action in running.json("plan")["actions"]] == ["boot"]
    applied(running)
    assert (domain(NODE).ID(), domain(NODE).state()[0]) == (number, libvirt.VIR_DOMAIN_RUNNING)


def test_saved_memory_is_restored_unless_it_does_not_fit(running: Workspace) -> None:
    domain(NODE).managedSave()
    assert (node(running)["observed"], node(running)["memory_saved"]) == ("off", True)
    assert "resumes from saved memory" in running.run("plan").out
    applied(running)
    assert domain(NODE).state() == [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_RESTORED]
    domain(NODE).managedSave()
    running.spec(computes=0, readiness="none")
    assert "MEMORY LOST: trial-frontend loses its saved memory" in running.run("plan").out
    applied(running)
    assert (domain(NODE).maxMemory(), domain(NODE).hasManagedSaveImage()) == (192 * MIB, 0)


def test_a_snapshot_is_discarded_only_with_consent(running: Workspace) -> None:
    name = domain(NODE).name()
    domain(NODE).destroy()
    virsh("snapshot-create-as", name, "s1", "--disk-only", "--diskspec", "vdb,snapshot=no")
    above = POOL_DIRECTORY / f"{name}.s1"
    applied(running)
    assert disks()["vda"] == str(above)
    virsh("snapshot-create-as", name, "s2", "--disk-only")
    second = POOL_DIRECTORY / f"{name}.s2"
    running.spec(computes=0, readiness="none", frontend="{cpus: 1, memory: 160 MiB}")
    refused = running.run("apply", "--auto-approve", status=4)
    output = unwrapped(refused.err)
    assert f"{NODE} would lose snapshot s2 (file {second}) and snapshot s1 (file {above})" in output
    assert f"blockcommit {name} vda --base" in output
    assert (disks()["vda"], above.exists(), domain(NODE).maxMemory()) == (str(second), True, 192 * MIB)
    applied(running, "--allow", "data-loss")
    assert (disks()["vda"], above.exists(), second.exists()) == (str(POOL_DIRECTORY / f"{name}.qcow2"), False, False)


def test_clean_removes_snapshots_unless_others_use_them(running: Workspace) -> None:
    name = domain(NODE).name()
    virsh("snapshot-create-as", name, "s3", "--disk-only")
    clone = POOL_DIRECTORY / "clone.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disks()["vda"], clone], check=True)
    refused = running.run("clean", "trial", "--shutdown", "--auto-approve", status=5)
    assert "volume clone.qcow2" in unwrapped(refused.err)
    assert (POOL_DIRECTORY / f"{name}.s3").exists()
    clone.unlink()
    output = running.run("clean", "trial", "--shutdown", "--auto-approve").out
    assert "loses snapshot s3" in unwrapped(output)
    assert [volume for volume in listing().volumes if volume.startswith("trial-")] == []
    theirs = sorted(POOL_DIRECTORY.glob("theirs.*"))
    assert [file.name for file in theirs] == ["theirs.qcow2", "theirs.s1", "theirs.s2", "theirs.s3"]
    for file in theirs:
        file.unlink()
