"""A cluster at a service with the EC2 API, from the command line: planned, made, changed and removed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from pragmaspec.providers.ec2.client import Ec2Client
from tests.moto_process import REPOSITORY
from tests.providers.ec2.moto_server import ENVIRONMENT

SPEC = """
images:
  own: {{source: ./disk.raw, format: raw}}
sites:
  burst: {{provider: ec2, endpoint: "{endpoint}", types: [t2.*]}}
clusters:
  hello:
    site: burst
    image: own
    public: none
    readiness: none
    frontend: {{cpus: 1, memory: {memory}}}
    computes: {{count: {count}, cpus: 2, memory: 2 GiB}}
"""
PARTITION = bytes.fromhex("80000000830000000008000000380000") + bytes(48) + b"\x55\xaa"
"""The end of a boot sector: one active partition from sector 2,048."""


def run(directory: Path, *arguments: str, status: int = 0) -> str:
    home = {"HOME": str(directory), "XDG_STATE_HOME": str(directory / "state"), "XDG_CACHE_HOME": str(directory / "cache")}
    environment = {**os.environ, **ENVIRONMENT, **home, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}
    command = [sys.executable, "-m", "pragmaspec", *arguments]
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


def write_disk(directory: Path) -> None:
    with (directory / "disk.raw").open("wb") as disk:
        disk.write(bytes(446) + PARTITION)
        disk.truncate(8 * 2**20)


def test_an_image_that_the_service_cannot_take_is_refused_by_the_plan(moto_endpoint: str, tmp_path: Path) -> None:
    write_disk(tmp_path)
    text = SPEC.format(endpoint=moto_endpoint, memory="1 GiB", count=1).replace("format: raw", "format: raw, kernel: ./kernel")
    (tmp_path / "kernel").write_bytes(bytes(514) + b"HdrS" + bytes(1024))
    (tmp_path / "cluster.yaml").write_text(text, encoding="utf-8")
    refusal = run(tmp_path, "plan", status=1)
    assert "cluster.yaml:3:" in refusal
    assert "Image own, which has a kernel beside its disk, cannot be put at site burst" in " ".join(refusal.split())
    assert "`at: {burst: NAME}`" in refusal


def test_a_volume_outlives_its_cluster(moto_endpoint: str, moto: Ec2Client, tmp_path: Path) -> None:
    write_disk(tmp_path)
    disks = "disks: {home: {size: 2 GiB, mount: /home, keep: true}, scratch: {size: 512 MiB, mount: /scratch}}"
    text = SPEC.format(endpoint=moto_endpoint, memory=f"1 GiB, {disks}", count=0).replace("t2.*", "t3.micro")
    (tmp_path / "cluster.yaml").write_text(text, encoding="utf-8")

    def volumes() -> dict[str, tuple[int, str]]:
        """Return size in GiB and state of the further volumes by name."""
        tagged = [{"Name": "tag-key", "Values": ["pragmaspec-part"]}]
        return {
            next(tag["Value"] for tag in each["Tags"] if tag["Key"] == "Name"): (each["Size"], each["State"])
            for each in moto.listed("describe_volumes", "Volumes", Filters=tagged)
        }

    run(tmp_path, "apply", "-y")
    assert volumes() == {"hello-frontend-home": (2, "in-use"), "hello-frontend scratch": (1, "in-use")}
    assert "No changes" in run(tmp_path, "plan")
    assert re.search(r"volume/hello-frontend-home of stack \w+ +0 +0 MiB +2 GiB", run(tmp_path, "list", "site"))
    (tmp_path / "cluster.yaml").write_text(text.replace("size: 2 GiB", "size: 3 GiB"), encoding="utf-8")
    run(tmp_path, "apply", "-y")
    assert volumes()["hello-frontend-home"] == (3, "in-use")
    run(tmp_path, "clean", "hello", "--shutdown", "--allow", "data-loss", "--prune-images", "-y")
    assert volumes() == {"hello-frontend-home": (3, "available")}
    run(tmp_path, "clean", "--volume", "hello-frontend-home", "--allow", "data-loss", "-y")
    assert volumes() == {}


def test_a_cluster_is_made_changed_and_removed(moto_endpoint: str, moto: Ec2Client, tmp_path: Path) -> None:
    write_disk(tmp_path)

    def spec(memory: str, count: int) -> None:
        text = SPEC.format(endpoint=moto_endpoint, memory=memory, count=count)
        (tmp_path / "cluster.yaml").write_text(text, encoding="utf-8")

    def machines() -> dict[str, tuple[str, str]]:
        """Return type and address by name."""
        reservations = moto.listed("describe_instances", "Reservations")
        return {
            next(tag["Value"] for tag in each["Tags"] if tag["Key"] == "Name"): (each["InstanceType"], each["PrivateIpAddress"])
            for reservation in reservations
            for each in reservation["Instances"]
            if each["State"]["Name"] == "running"
        }

    spec("1 GiB", 2)
    plan = run(tmp_path, "plan")
    assert "hello-frontend   t2.micro · 1 cpu · 1 GiB · 10.0.0.4" in plan
    run(tmp_path, "apply", "-y")
    assert machines() == {
        "hello-frontend": ("t2.micro", "10.0.0.4"),
        "hello-compute-0": ("t2.medium", "10.0.0.10"),
        "hello-compute-1": ("t2.medium", "10.0.0.11"),
    }
    assert "No changes" in run(tmp_path, "plan")
    assert re.search(
        r"node/hello-frontend of stack \w+ +1 +1 GiB +8 MiB +t2\.micro +[\d.]+ (s|min)", run(tmp_path, "list", "site")
    )
    spec("2 GiB", 1)
    run(tmp_path, "apply", "-y", "--allow", "data-loss")
    assert machines() == {"hello-frontend": ("t2.small", "10.0.0.4"), "hello-compute-0": ("t2.medium", "10.0.0.10")}
    assert "No changes" in run(tmp_path, "plan")
    run(tmp_path, "clean", "hello", "--shutdown", "--allow", "data-loss", "--prune-images", "-y")
    assert machines() == {}
    tagged = [{"Name": "tag-key", "Values": ["pragmaspec-lineage"]}]
    assert list(moto.listed("describe_vpcs", "Vpcs", Filters=tagged)) == []
    assert list(moto.listed("describe_images", "Images", Owners=["self"])) == []
    secrets = ENVIRONMENT["AWS_SECRET_ACCESS_KEY"].encode()
    assert [file for file in tmp_path.rglob("*") if file.is_file() and secrets in file.read_bytes()] == []
