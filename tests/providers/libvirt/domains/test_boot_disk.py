"""Disks that begin with files in them: whole or not there, whenever the run that makes them ends."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec import failpoints
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.resources import Node
from tests.providers.conftest import Subject
from tests.providers.libvirt.conftest import host_of

MOMENTS = ["libvirt.disk.filling", "libvirt.disk.empty", "libvirt.disk.filled"]


@pytest.fixture(autouse=True)
def nothing_armed() -> Iterator[None]:
    yield
    failpoints.arm("")


def overlays(stack: Subject, directory: Path, text: str) -> Callable[[str], AbstractContextManager[Path]]:
    """Makes overlays that have ``text`` at their beginning."""

    @contextmanager
    def overlay(base: str) -> Iterator[Path]:
        made, image, content = (directory / name for name in ("overlay.qcow2", "image.raw", "content"))
        size = str(stack.image.virtual_size_bytes)
        content.write_text(text.ljust(512))
        subprocess.run(["qemu-img", "create", "-q", "-f", "raw", image, size], check=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", made, size], check=True)
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -q -s {content} 0 512", made], check=True)
        subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", base, "-F", "raw", made], check=True)
        yield made

    return overlay


def on_disk(stack: Subject, node: Node) -> str:
    """What the disk at the site begins with."""
    path = host_of(stack).path(names.disk_volume(node.name, stack.mark(node)))
    said = subprocess.run(
        ["qemu-io", "-U", "-f", "qcow2", "-r", "-c", "read -v 0 32", path], capture_output=True, text=True, check=True
    )
    return "".join(
        line.rpartition("  ")[2] for line in said.stdout.splitlines() if line[:8].isalnum() and ":" in line[:10]
    ).strip()


@pytest.mark.hypervisor
def test_the_disk_holds_the_files_and_is_kept(lab: Subject, tmp_path: Path) -> None:
    lab.prepare()
    node = replace(lab.node(), cloud_init=False)
    order = lab.boot_request(node)
    lab.provider.boot(replace(order, overlay=overlays(lab, tmp_path, "first")))
    assert on_disk(lab, node).startswith("first")
    lab.provider.shutdown(node, lab.mark(node), grace_s=0)
    lab.provider.boot(replace(order, overlay=overlays(lab, tmp_path, "again")))
    assert on_disk(lab, node).startswith("first")
    lab.provider.clean(node, lab.mark(node))


@pytest.mark.hypervisor
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_disk_that_is_not_whole_is_made_anew(lab: Subject, tmp_path: Path, moment: str) -> None:
    lab.prepare()
    node = replace(lab.node(), cloud_init=False)
    order = lab.boot_request(node)
    failpoints.arm(f"{moment}:1:eio")
    with pytest.raises(OSError, match=r"."):
        lab.provider.boot(replace(order, overlay=overlays(lab, tmp_path, "half")))
    failpoints.arm("")
    assert [seen.status for seen in lab.observed().nodes] in ([], ["undefined"])
    lab.provider.boot(replace(order, overlay=overlays(lab, tmp_path, "whole")))
    assert on_disk(lab, node).startswith("whole")
    assert volumes.find(host_of(lab), names.filling_marker(node.name, lab.mark(node))) is None
    lab.provider.clean(node, lab.mark(node))


@pytest.mark.hypervisor
def test_what_is_left_half_made_is_cleaned(lab: Subject, tmp_path: Path) -> None:
    lab.prepare()
    node = replace(lab.node(), cloud_init=False)
    failpoints.arm("libvirt.disk.empty:1:eio")
    with pytest.raises(OSError, match=r"."):
        lab.provider.boot(replace(lab.boot_request(node), overlay=overlays(lab, tmp_path, "half")))
    failpoints.arm("")
    lab.provider.clean(node, lab.mark(node))


def test_the_pretended_hypervisor_needs_no_bytes(pretended: Subject) -> None:
    def never(base: str) -> AbstractContextManager[Path]:
        raise AssertionError(base)

    pretended.prepare()
    node = replace(pretended.node(), cloud_init=False)
    pretended.provider.boot(replace(pretended.boot_request(node), overlay=never))
    assert [seen.status for seen in pretended.observed().nodes] == ["running"]
