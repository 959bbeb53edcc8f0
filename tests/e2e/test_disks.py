"""A Debian guest that is told by user-data, as at EC2 and OpenStack, with a further disk and a volume: added by a restart,
mounted, grown while it runs, removed by a restart, and found again by the next cluster."""

import os
from pathlib import Path

import pytest

from tests.e2e.debian_image import IMAGES, build_debian
from tests.e2e.workspace import NETWORK, POOL, Workspace, listing
from tests.plugin_package import install_cloud

pytestmark = pytest.mark.slow
APPLY_LIMIT_S = 900


SPEC = f"""\
{IMAGES}sites:
  lab:
    provider: PROVIDER
    pool: {POOL}
    public: {{network: {NETWORK}, addresses: [192.168.150.20-192.168.150.21]}}
    overcommit: {{cpus: 100}}
clusters:
  CLUSTER:
    site: lab
    image: debian-12
    frontend: {{memory: 1 GiB, disks: {{DISKS}}}}
"""
SCRATCH, HOME = "scratch: {size: 200 MiB, mount: /scratch}", "home: {size: 100 MiB, mount: /home, keep: people}"
LARGER_SCRATCH, LARGER_HOME = SCRATCH.replace("200", "400"), HOME.replace("100", "300")


class Frontend:
    """The frontend of a cluster without computes, in a workspace."""

    def __init__(self, workspace: Workspace, cluster: str, provider: str) -> None:
        self.workspace, self.cluster = workspace, cluster
        self._spec = SPEC.replace("CLUSTER", cluster).replace("PROVIDER", provider)

    def apply(self, *disks: str, consent: str = "", status: int = 0) -> str:
        """Apply the spec with ``disks``, and return the output."""
        text = self._spec.replace("DISKS", ", ".join(disks))
        (self.workspace.directory / "cluster.yaml").write_text(text, encoding="utf-8")
        options = ("--allow", consent) if consent else ()
        done = self.workspace.run("apply", "cluster.yaml", "--auto-approve", *options, limit_s=APPLY_LIMIT_S, status=status)
        return done.out + done.err

    def inside(self, script: str) -> str:
        """Return the output of ``script`` in the guest."""
        return self.workspace.run("ssh", f"{self.cluster}-frontend", "--", script).out.strip()

    def mib(self, path: str) -> int:
        """Return the size of a file system."""
        return int(self.inside(f"df -m --output=size {path} | tail -n 1"))


@pytest.fixture
def debian(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A workspace with the image, and a provider whose machines have user-data of a limited size instead of seeds."""
    build_debian().give_to(workspace)
    install_cloud(tmp_path)
    workspace.python_path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"
    return workspace


def test_a_node_is_told_by_user_data_and_its_disks_live_as_long_as_the_spec_says(debian: Workspace) -> None:
    """One test, because each step needs the one before, and a boot takes a minute."""
    frontend = Frontend(debian, "trial", "cloud")
    frontend.apply()
    check_user_data(frontend)
    check_disks(frontend)
    debian.run("clean", "trial", "--shutdown")
    assert [(each["name"], each["used_by"]) for each in debian.json("list", "volume")["volumes"]] == [("people", None)]
    assert [name for name in listing().volumes if name.endswith("-volume.qcow2")]
    check_kept_volume(Frontend(debian, "trial-next", "cloud"))


def check_user_data(frontend: Frontend) -> None:
    """Assert that cloud-init has the user-data that fits, and that the rest has followed over ssh."""
    assert frontend.inside("ls /usr/local/sbin").split() == ["pragmaspec-nat"]
    told = frontend.inside("hostname; zcat -f /var/lib/cloud/instance/user-data.txt; cloud-init status")
    assert told.startswith("trial-frontend\n#cloud-config\n")
    assert told.endswith("status: done")
    assert "/root/vc-out.xml" in told
    left_out = ("/etc/ssh/ssh_known_hosts", "/etc/pragmaspec/cluster.json")
    assert not [path for path in left_out if path in told], "they do not fit"
    assert "trial-frontend" in frontend.inside(f"cat {' '.join(left_out)}")
    assert frontend.workspace.run("plan").out.startswith("No changes")


def check_disks(frontend: Frontend) -> None:
    """Assert that disks are added and removed by restarts, and grow while the node runs."""
    assert "reboot" in frontend.apply(SCRATCH, HOME)
    mounts = frontend.inside("findmnt -n -o TARGET,FSTYPE /scratch; findmnt -n -o TARGET,FSTYPE /home; stat -c %a /home")
    assert mounts.split() == ["/scratch", "ext4", "/home", "ext4", "755"]
    assert frontend.inside("systemctl is-enabled pragmaspec-disks") == "enabled"
    assert frontend.workspace.run("plan").out.startswith("No changes")

    booted = frontend.inside("echo kept >/home/file; cat /proc/sys/kernel/random/boot_id")
    frontend.apply(LARGER_SCRATCH, LARGER_HOME)
    assert frontend.mib("/scratch") > 300
    assert frontend.mib("/home") > 200
    assert frontend.inside("cat /proc/sys/kernel/random/boot_id") == booted, "the node kept running"
    assert frontend.workspace.run("plan").out.startswith("No changes")

    assert "The plan removes disks" in frontend.apply(LARGER_HOME, status=4)
    frontend.apply(LARGER_HOME, consent="data-loss")
    assert frontend.inside("findmnt -n /scratch || echo none; cat /home/file").split() == ["none", "kept"]
    assert not [name for name in listing().volumes if "-disk-" in name]


def check_kept_volume(following: Frontend) -> None:
    """Assert that the next cluster has the volume with its files and a new disk, both from its first boot on."""
    following.apply(SCRATCH, LARGER_HOME)
    assert following.inside("cat /home/file") == "kept"
    assert following.inside("ls /scratch") == "lost+found"
    following.workspace.run("clean", following.cluster, "--shutdown", "--volumes", status=4)
    following.workspace.run("clean", following.cluster, "--shutdown", "--volumes", "--allow", "data-loss")
    assert following.workspace.json("list", "volume")["volumes"] == []
