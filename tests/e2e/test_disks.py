"""Further disks and a volume of a Debian guest: formatted, mounted, grown while it runs, and found again by the next cluster; and
a Debian guest that is told by user-data."""

import os
from pathlib import Path

import pytest

from tests.e2e.debian_image import IMAGES, build_debian
from tests.e2e.workspace import NETWORK, POOL, Workspace, listing
from tests.plugin_package import install_cloud

pytestmark = pytest.mark.slow
APPLY_LIMIT_S = 900


def _write_spec(
    workspace: Workspace, cluster: str, *, scratch: str = "200 MiB", home: str = "100 MiB", provider: str = "libvirt"
) -> None:
    workspace.directory.joinpath("cluster.yaml").write_text(
        f"""\
{IMAGES}sites:
  lab:
    provider: {provider}
    pool: {POOL}
    public: {{network: {NETWORK}, addresses: [192.168.150.20-192.168.150.21]}}
    overcommit: {{cpus: 100}}
clusters:
  {cluster}:
    site: lab
    image: debian-12
    frontend:
      disks:
        scratch: {{size: {scratch}, mount: /scratch}}
        home: {{size: {home}, mount: /home, keep: people}}
""",
        encoding="utf-8",
    )


def _inside(workspace: Workspace, cluster: str, script: str) -> str:
    return workspace.run("ssh", f"{cluster}-frontend", "--", script).out.strip()


def _mib(workspace: Workspace, cluster: str, path: str) -> int:
    return int(_inside(workspace, cluster, f"df -m --output=size {path} | tail -n 1"))


@pytest.fixture(scope="module")
def debian(workspace: Workspace) -> Workspace:
    """A frontend with a disk and a volume."""
    build_debian().give_to(workspace)
    _write_spec(workspace, "trial")
    workspace.run("apply", "cluster.yaml", "--auto-approve", limit_s=APPLY_LIMIT_S)
    return workspace


def test_disks_live_as_long_as_the_spec_says(debian: Workspace) -> None:
    """One test, because each step needs the one before, and a boot takes a minute."""
    mounts = _inside(debian, "trial", "findmnt -n -o TARGET,FSTYPE /scratch; findmnt -n -o TARGET,FSTYPE /home; stat -c %a /home")
    assert mounts.split() == ["/scratch", "ext4", "/home", "ext4", "755"]
    assert debian.run("plan").out.startswith("No changes")
    booted = _inside(debian, "trial", "echo kept >/home/file; echo kept >/scratch/file; cat /proc/sys/kernel/random/boot_id")

    _write_spec(debian, "trial", scratch="400 MiB", home="300 MiB")
    debian.run("apply", "cluster.yaml", "--auto-approve")
    assert _mib(debian, "trial", "/scratch") > 300
    assert _mib(debian, "trial", "/home") > 200
    assert _inside(debian, "trial", "cat /proc/sys/kernel/random/boot_id") == booted, "the node kept running"
    assert debian.run("plan").out.startswith("No changes")

    debian.run("shutdown", "trial")
    debian.run("boot", "trial", limit_s=APPLY_LIMIT_S)
    assert _inside(debian, "trial", "cat /home/file /scratch/file").split() == ["kept", "kept"]

    debian.run("clean", "trial", "--shutdown")
    assert [(each["name"], each["used_by"]) for each in debian.json("list", "volume")["volumes"]] == [("people", None)]
    assert [name for name in listing().volumes if name.endswith("-volume.qcow2")]

    _write_spec(debian, "trial-next", home="300 MiB")
    debian.run("apply", "cluster.yaml", "--auto-approve", limit_s=APPLY_LIMIT_S)
    assert _inside(debian, "trial-next", "cat /home/file") == "kept"
    assert _inside(debian, "trial-next", "ls /scratch") == "lost+found"
    debian.run("clean", "trial-next", "--shutdown", "--volumes", status=4)
    debian.run("clean", "trial-next", "--shutdown", "--volumes", "--allow", "data-loss")
    assert debian.json("list", "volume")["volumes"] == []


@pytest.fixture
def cloud(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A site whose machines have user-data of a limited size instead of seeds, as at EC2 and OpenStack."""
    build_debian().give_to(workspace)
    install_cloud(tmp_path)
    workspace.python_path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"
    return workspace


def test_a_node_is_told_by_user_data_and_a_disk_is_added_and_removed_by_a_restart(cloud: Workspace) -> None:
    """One test, because the boots take minutes."""
    without = "frontend: {memory: 1 GiB}\n"
    _write_spec(cloud, "trial", provider="cloud")
    spec = cloud.directory / "cluster.yaml"
    before, _, _ = spec.read_text(encoding="utf-8").partition("frontend:\n")
    spec.write_text(before + without, encoding="utf-8")
    cloud.run("apply", "cluster.yaml", "--auto-approve", limit_s=APPLY_LIMIT_S)
    assert _inside(cloud, "trial", "ls /usr/local/sbin").split() == ["pragmaspec-nat"]
    told = _inside(cloud, "trial", "hostname; zcat -f /var/lib/cloud/instance/user-data.txt; cloud-init status")
    assert told.startswith("trial-frontend\n#cloud-config\n")
    assert told.endswith("status: done")
    assert "/root/vc-out.xml" in told
    left_out = ("/etc/ssh/ssh_known_hosts", "/etc/pragmaspec/cluster.json")
    assert not [path for path in left_out if path in told], "they do not fit"
    assert "trial-frontend" in _inside(cloud, "trial", f"cat {' '.join(left_out)}"), "they have followed over ssh"
    assert cloud.run("plan").out.startswith("No changes")

    added = without.replace("{", "{disks: {scratch: {size: 100 MiB, mount: /scratch}}, ")
    spec.write_text(before + added, encoding="utf-8")
    assert "reboot" in cloud.run("apply", "cluster.yaml", "--auto-approve", limit_s=APPLY_LIMIT_S).out
    assert _inside(cloud, "trial", "findmnt -n -o FSTYPE /scratch; systemctl is-enabled pragmaspec-disks").split() == [
        "ext4",
        "enabled",
    ]
    assert cloud.run("plan").out.startswith("No changes")

    spec.write_text(before + without, encoding="utf-8")
    assert "The plan removes disks" in cloud.run("apply", "cluster.yaml", "--auto-approve", status=4).err
    cloud.run("apply", "cluster.yaml", "--auto-approve", "--allow", "data-loss", limit_s=APPLY_LIMIT_S)
    assert _inside(cloud, "trial", "findmnt -n /scratch || echo none; cat /etc/pragmaspec/disks") == "none"
    assert not [name for name in listing().volumes if "-disk-" in name]
