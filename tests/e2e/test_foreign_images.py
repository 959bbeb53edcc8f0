"""Foreign image formats on a real hypervisor: a Clonezilla directory, and a PRAGMA repository with split gzip parts."""

import gzip
from pathlib import Path

import pytest

from tests.e2e.workspace import Workspace
from tests.guest_images.bootable import build_bootable
from tests.guest_images.tiny import TinyImage
from tests.images.clonezilla import real
from tests.images.pragma import repositories

pytestmark = pytest.mark.guest

READY = "tiny: ready"


@pytest.fixture(scope="module")
def disk(tiny_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with boot loader and two partitions."""
    tiny = TinyImage(vmlinuz=tiny_image / "vmlinuz", initrd=tiny_image / "initrd", disk=tiny_image / "disk.qcow2")
    return build_bootable(tiny, tmp_path_factory.mktemp("bootable"))


def specify(space: Workspace, images: str, frontend: str, compute: str) -> None:
    """Write the usual spec with other images, one per role."""
    space.spec(computes=1, image=frontend)
    spec = space.directory / "cluster.yaml"
    text = spec.read_text()
    roles = text[text.index("sites:") :].replace("    computes: {", f"    computes: {{image: {compute}, ")
    spec.write_text(images + roles)


def ask(space: Workspace, node: str, command: str) -> str:
    """The output of ``command`` on a node."""
    return space.run("ssh", node, "--", command).out


def test_a_clonezilla_directory_is_restored_and_booted(workspace: Workspace, disk: Path) -> None:
    real.clonezilla(disk, workspace.directory / "image", "zst", "4M")
    specify(workspace, "images:\n  saved:\n    clonezilla: ./image\n", "saved", "saved")
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    for node in ("trial-frontend", "trial-compute-0"):
        assert "/dev/vda2 /disk ext4" in ask(workspace, node, "cat /proc/mounts")
    assert workspace.run("plan").out.startswith("No changes")
    workspace.run("clean", "trial", "--shutdown", "--auto-approve")


def test_a_pragma_repository_with_split_gzip_parts_boots_frontend_and_computes(workspace: Workspace, disk: Path) -> None:
    packed = gzip.compress(disk.read_bytes(), 1)
    names = ("frontend.vda.gz.a", "frontend.vda.gz.b", "frontend.vda.gz.c")
    files = dict(zip(names, repositories.cut(packed, 3), strict=True))
    vms = workspace.directory / "vms"
    vms.mkdir()
    compute = "<file type='gzip' filename='compute.hda'><part>compute.hda.gz</part></file>"
    repositories.write(vms, "rocks", repositories.SPLIT_GZIP, compute, {**files, "compute.hda.gz": packed})
    images = "".join(
        f"  rocks-{role}:\n    pragma: {{repository: ./vms, cluster: rocks, role: {role}}}\n" for role in ("frontend", "compute")
    )
    specify(workspace, f"images:\n{images}", "rocks-frontend", "rocks-compute")
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    assert ask(workspace, "trial-compute-0", "hostname").strip() == "trial-compute-0"
    assert workspace.run("plan").out.startswith("No changes")
