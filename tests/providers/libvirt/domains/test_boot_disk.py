"""Disks with initial files: complete or absent, whenever the run that creates them ends."""

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
def no_failpoint() -> Iterator[None]:
    yield
    failpoints.arm("")


def overlays(stack: Subject, directory: Path, text: str) -> Callable[[str], AbstractContextManager[Path]]:
    """Builds overlays that start with ``text``."""

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
    """The first bytes of the disk at the site."""
    path = host_of(stack).path(names.disk_volume(node.name, stack.mark(node)))
    result = subprocess.run(
        ["qemu-io", "-U", "-f", "qcow2", "-r", "-c", "read -v 0 32", path], capture_output=True, text=True, check=True
    )
    return "".join(
        line.rpartition("  ")[2] for line in result.stdout.splitlines() if line[:8].isalnum() and ":" in line[:10]
    ).strip()


@pytest.mark.hypervisor
def test_a_filled_disk_is_created_once(real_stack: Subject, tmp_path: Path) -> None:
    real_stack.prepare()
    node = replace(real_stack.node(), cloud_init=False)
    request = real_stack.boot_request(node)
    real_stack.provider.boot(replace(request, overlay=overlays(real_stack, tmp_path, "first")))
    assert on_disk(real_stack, node).startswith("first")
    real_stack.provider.shutdown(node, real_stack.mark(node), grace_s=0)
    real_stack.provider.boot(replace(request, overlay=overlays(real_stack, tmp_path, "again")))
    assert on_disk(real_stack, node).startswith("first")
    real_stack.provider.clean(node, real_stack.mark(node))


@pytest.mark.hypervisor
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_incomplete_disk_is_created_anew(real_stack: Subject, tmp_path: Path, moment: str) -> None:
    real_stack.prepare()
    node = replace(real_stack.node(), cloud_init=False)
    request = real_stack.boot_request(node)
    failpoints.arm(f"{moment}:1:eio")
    with pytest.raises(OSError, match=r"."):
        real_stack.provider.boot(replace(request, overlay=overlays(real_stack, tmp_path, "half")))
    failpoints.arm("")
    assert [observed.status for observed in real_stack.observed().nodes] in ([], ["undefined"])
    real_stack.provider.boot(replace(request, overlay=overlays(real_stack, tmp_path, "whole")))
    assert on_disk(real_stack, node).startswith("whole")
    assert volumes.find(host_of(real_stack), names.filling_marker(node.name, real_stack.mark(node))) is None
    real_stack.provider.clean(node, real_stack.mark(node))


@pytest.mark.hypervisor
def test_clean_removes_an_incomplete_disk(real_stack: Subject, tmp_path: Path) -> None:
    real_stack.prepare()
    node = replace(real_stack.node(), cloud_init=False)
    failpoints.arm("libvirt.disk.empty:1:eio")
    with pytest.raises(OSError, match=r"."):
        real_stack.provider.boot(replace(real_stack.boot_request(node), overlay=overlays(real_stack, tmp_path, "half")))
    failpoints.arm("")
    real_stack.provider.clean(node, real_stack.mark(node))


def test_the_test_driver_needs_no_overlay(fake_stack: Subject) -> None:
    def never(base: str) -> AbstractContextManager[Path]:
        raise AssertionError(base)

    fake_stack.prepare()
    node = replace(fake_stack.node(), cloud_init=False)
    fake_stack.provider.boot(replace(fake_stack.boot_request(node), overlay=never))
    assert [observed.status for observed in fake_stack.observed().nodes] == ["running"]
