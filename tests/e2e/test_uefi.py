"""A disk that boots only with UEFI firmware, on a real hypervisor, from its inspection to its removal."""

import shutil
from contextlib import closing
from pathlib import Path

import libvirt
import pytest

from pragmaspec.providers.libvirt.xml import parse
from tests.e2e.workspace import POOL, URI, Workspace, domain, listing
from tests.guest_images.tiny import TinyImage
from tests.guest_images.uefi import build_uefi

pytestmark = pytest.mark.guest


@pytest.fixture(scope="module")
def disk(tiny_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with a GPT and an EFI system partition, and no boot code."""
    tiny = TinyImage(vmlinuz=tiny_image / "vmlinuz", initrd=tiny_image / "initrd", disk=tiny_image / "disk.qcow2")
    return build_uefi(tiny, tmp_path_factory.mktemp("uefi"))


def variables() -> set[str]:
    """The volumes with firmware variables in the pool."""
    return {name for name in listing().volumes if name.startswith("trial-") and name.endswith("-nvram.fd")}


def test_a_disk_without_boot_code_boots_with_uefi(workspace: Workspace, disk: Path) -> None:
    boots = workspace.json("image", "inspect", str(disk))["boots"]
    assert (boots["firmware"], boots["bios"], boots["uefi"]) == ("uefi", False, ["x86_64"])
    workspace.spec(computes=0, image="own", frontend="{cpus: 1, memory: 256 MiB}")
    spec = workspace.directory / "cluster.yaml"
    text = spec.read_text()
    spec.write_text(f"images:\n  own: {{source: {disk}}}\n{text[text.index('sites:') :]}")
    workspace.run("apply", "cluster.yaml", "--auto-approve")

    assert workspace.run("ssh", "trial-frontend", "--", "ls -d /sys/firmware/efi").out.strip() == "/sys/firmware/efi"
    assert "secure='yes'" not in domain("trial-frontend").XMLDesc()
    (before,) = variables()
    assert workspace.run("plan").out.startswith("No changes")

    workspace.run("clean", "trial", "--shutdown", "--auto-approve")
    assert variables() == set(), before


def test_a_volume_put_into_the_pool_by_hand_boots(workspace: Workspace, disk: Path) -> None:
    volume = pool_directory() / "trial-own"
    shutil.copyfile(disk, volume)
    before = (volume.stat().st_mtime_ns, volume.stat().st_size)
    try:
        workspace.spec(computes=0, image="own", frontend="{cpus: 1, memory: 256 MiB}")
        spec = workspace.directory / "cluster.yaml"
        text = spec.read_text()
        spec.write_text(f"images:\n  own: {{at: {{lab: trial-own}}}}\n{text[text.index('sites:') :]}")
        (pin,) = workspace.json("lock")["site_images"]
        assert (pin["after"]["firmware"], pin["after"]["name"], pin["change"]) == ("uefi", "trial-own", "new")
        planned = workspace.run("plan").out
        assert "copied in pool pragmaspec-test from trial-own" in planned
        assert "to transfer" not in planned
        workspace.run("apply", "cluster.yaml", "--auto-approve")
        assert workspace.run("ssh", "trial-frontend", "--", "ls -d /sys/firmware/efi").out.strip() == "/sys/firmware/efi"
        assert workspace.run("plan").out.startswith("No changes")
        workspace.run("clean", "trial", "--shutdown", "--auto-approve")
        assert (volume.stat().st_mtime_ns, volume.stat().st_size) == before
        assert not [name for name in listing().volumes if name.endswith("-disk.raw")]
    finally:
        volume.unlink()


def pool_directory() -> Path:
    """The directory of the tests' pool."""
    with closing(libvirt.open(URI)) as handle:
        path = parse(handle.storagePoolLookupByName(POOL).XMLDesc()).findtext("target/path", "")
    return Path(path)
