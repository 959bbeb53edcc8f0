"""Images at a libvirt site beyond the shared contract: interrupted uploads, concurrent stacks, damaged parts."""

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from threading import Barrier

import libvirt
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.planning.drift.image_damage import image_damage
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.images import staging_lock
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.providers.libvirt.volumes import SHARED, raw_xml
from pragmaspec.resources import Mark
from tests.providers.libvirt.conftest import host_of

pytestmark = pytest.mark.hypervisor


class InterruptedUploadError(Exception):
    """Any error in the middle of an upload."""


def staged_digests(stack) -> dict[str, str]:
    """The digest of every part of the stack's image at the site."""
    host = host_of(stack)
    found = volumes.list_names(host)
    return {
        part: sha256(volumes.read_tail(host, name, 2**31)).hexdigest()
        for part, name in names.image_volumes(stack.image).items()
        if name in found
    }


def markers(stack) -> list[str]:
    """The kinds of markers of the stack's image."""
    base = f"pragmaspec-{stack.image.digest[:16]}"
    return sorted(
        name.rpartition(".")[2] for name in volumes.list_names(host_of(stack)) if name.startswith(base) and names.is_marker(name)
    )


def interrupted_upload(stack) -> None:
    def transferred(done: int, total: int) -> None:
        if done:
            raise InterruptedUploadError

    with pytest.raises(InterruptedUploadError):
        stack.provider.stage(stack.stage_request(progress=transferred))


def test_an_uploaded_image_has_the_same_digest(real_stack):
    outputs = real_stack.provider.stage(real_stack.stage_request())
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}
    assert dict(outputs) == {"disk": host_of(real_stack).path(f"pragmaspec-{real_stack.image.digest[:16]}-disk.raw")}
    assert markers(real_stack) == ["complete", "ref"]


def killed_upload(stack) -> None:
    """Create the remains of a run killed during an upload: its markers, and an incomplete part."""
    host = host_of(stack)
    volumes.create_marker(host, names.reference_marker(stack.image.digest, stack.mark(stack.image)))
    volumes.create_marker(host, names.staging_marker(stack.image.digest, stack.mark(stack.image)))
    volumes.create(host, raw_xml(names.image_volumes(stack.image)["disk"], stack.image.disk.size_bytes, SHARED))


def test_a_failed_upload_leaves_no_lock(real_stack):
    interrupted_upload(real_stack)
    assert staged_digests(real_stack) == {}
    assert markers(real_stack) == ["ref"]
    assert real_stack.observed().images == ()
    real_stack.stage()
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}


def test_a_killed_upload_is_redone_at_once(real_stack):
    killed_upload(real_stack)
    assert real_stack.observed().images == ()
    real_stack.stage()
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}
    assert markers(real_stack) == ["complete", "ref"]


def test_another_stack_takes_over_a_stale_lock(real_stack, monkeypatch):
    monkeypatch.setattr(staging_lock, "STALE_LOCK_S", 0.5)
    killed_upload(real_stack)
    other = real_stack.other()
    other.stage()
    assert staged_digests(other) == {"disk": real_stack.image.digest}
    assert other.observed().images == (real_stack.image.digest,)
    other.clean_all()
    real_stack.provider.clean(real_stack.image, real_stack.mark(real_stack.image))


def test_parts_without_a_lock_are_replaced(real_stack, monkeypatch):
    monkeypatch.setattr(staging_lock, "STALE_PARTS_S", 0.3)
    volumes.create(
        host_of(real_stack), raw_xml(names.image_volumes(real_stack.image)["disk"], real_stack.image.disk.size_bytes, SHARED)
    )
    real_stack.stage()
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}


def test_a_missing_part_is_staged_again(real_stack):
    real_stack.stage()
    volumes.remove(host_of(real_stack), names.image_volumes(real_stack.image)["disk"])
    real_stack.stage()
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}
    assert real_stack.fetched == 2


def test_concurrent_stacks_upload_once(real_stack):
    stacks = [real_stack, real_stack.other(), real_stack.other()]
    start = Barrier(len(stacks))

    def stage(stack) -> None:
        provider = LibvirtProvider(real_stack.site)
        start.wait(timeout=30)
        provider.stage(stack.stage_request())
        provider.close()

    with ThreadPoolExecutor(len(stacks)) as pool:
        list(pool.map(stage, stacks))
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}
    assert markers(real_stack) == ["complete", "ref", "ref", "ref"]
    assert all(stack.observed().images == (real_stack.image.digest,) for stack in stacks)
    for stack in stacks:
        assert staged_digests(real_stack) == {"disk": real_stack.image.digest}
        stack.clean_all()
    assert markers(real_stack) == []


def test_a_file_of_another_size_is_refused(real_stack):
    real_stack.files.disk.write_bytes(b"short")
    with pytest.raises(SiteError, match="its size does not match"):
        real_stack.stage()
    assert "complete" not in markers(real_stack)
    real_stack.provider.clean(real_stack.image, real_stack.mark(real_stack.image))


def test_holes_are_not_transferred(real_stack, tmp_path):
    disk = tmp_path / "sparse.raw"
    with disk.open("wb") as file:
        file.write(b"boot")
        file.seek(2**30 - 4)
        file.write(b"tail")
    blob = replace(real_stack.image.disk, size_bytes=2**30)
    real_stack.image = replace(real_stack.image, disk=blob)
    real_stack.files = replace(real_stack.files, disk=disk)
    real_stack.stage()
    host = host_of(real_stack)
    assert volumes.read_tail(host, names.image_volumes(real_stack.image)["disk"], 4) == b"tail"
    assert volumes.allocated_bytes(host, names.image_volumes(real_stack.image)["disk"]) < 2**20


def test_a_final_hole_is_transferred(real_stack, tmp_path):
    disk = tmp_path / "hole.raw"
    with disk.open("wb") as file:
        file.write(b"boot" * 1024)
        file.truncate(2**20)
    real_stack.image = replace(real_stack.image, disk=replace(real_stack.image.disk, size_bytes=2**20))
    real_stack.files = replace(real_stack.files, disk=disk)
    real_stack.stage()
    assert staged_digests(real_stack) == {"disk": sha256(disk.read_bytes()).hexdigest()}


def test_kernel_and_initrd_are_staged_with_the_disk(real_stack, tmp_path):
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd"
    kernel.write_bytes(b"kernel" * 1000)
    initrd.write_bytes(b"initrd" * 1000)
    progress: list[int] = []
    real_stack.image = replace(
        real_stack.image,
        kernel=replace(real_stack.image.disk, size_bytes=kernel.stat().st_size),
        initrd=replace(real_stack.image.disk, size_bytes=initrd.stat().st_size),
    )
    real_stack.files = replace(real_stack.files, kernel=kernel, initrd=initrd)
    real_stack.provider.stage(real_stack.stage_request(progress=lambda done, total: progress.append(done)))
    assert staged_digests(real_stack)["kernel"] == sha256(kernel.read_bytes()).hexdigest()
    assert staged_digests(real_stack)["initrd"] == sha256(initrd.read_bytes()).hexdigest()
    assert progress[-1] == real_stack.image.transfer_bytes


def test_staging_and_the_last_users_clean_leave_the_image(real_stack):
    """In every order that threads happen to run."""
    for _ in range(5):
        real_stack.stage()
        other = real_stack.other()
        start = Barrier(2)

        def clean(start=start) -> None:
            start.wait(timeout=30)
            real_stack.provider.clean(real_stack.image, real_stack.mark(real_stack.image))

        def stage(start=start, other=other) -> None:
            provider = LibvirtProvider(real_stack.site)
            start.wait(timeout=30)
            provider.stage(other.stage_request())
            provider.close()

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(clean), pool.submit(stage)]:
                done.result()
        assert other.observed().images == (real_stack.image.digest,)
        assert staged_digests(real_stack) == {"disk": real_stack.image.digest}
        other.clean_all()


def test_read_tail_reads_the_end_of_a_log(real_stack, tmp_path: Path):
    host: Host = host_of(real_stack)
    volumes.write_private(host, f"hello-frontend.{real_stack.lineage[:8]}-console.log", b"0123456789")
    node = real_stack.node()
    mark: Mark = real_stack.mark(node)
    assert volumes.read_tail(host, names.console_volume(node.name, mark), 4) == b"6789"
    assert real_stack.provider.console_log(node, mark) == b"0123456789"
    real_stack.provider.clean(node, mark)


def deleted(host: Host, name: str) -> None:
    volumes.remove(host, name)


def deleted_behind_the_pool(host: Host, name: str) -> None:
    Path(host.path(name)).unlink()


def truncated(host: Host, name: str) -> None:
    os.truncate(host.path(name), 5)


@pytest.mark.parametrize("harm", [deleted, deleted_behind_the_pool, truncated])
def test_a_damaged_image_is_observed_refused_at_boot_and_repaired(real_stack, harm):
    real_stack.prepare()
    other = real_stack.other()
    other.stage()
    host, name = host_of(real_stack), names.image_volumes(real_stack.image)["disk"]
    assert image_damage(real_stack.image, real_stack.observed()) is None
    harm(host, name)
    for stack in (real_stack, other):
        damage = image_damage(stack.image, stack.observed())
        assert damage is not None
        assert f"pool {real_stack.site.pool}" in damage.detail
    for ask in (real_stack.provider.check_boot, real_stack.provider.boot):
        with pytest.raises(SiteError, match=r"is incomplete: its disk .*pool .* which stages it again"):
            ask(real_stack.boot_request(real_stack.node()))
    assert volumes.find(host, names.disk_volume(real_stack.node().name, real_stack.mark(real_stack.node()))) is None
    other.stage()
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}
    assert [image_damage(stack.image, stack.observed()) for stack in (real_stack, other)] == [None, None]
    real_stack.provider.check_boot(real_stack.boot_request(real_stack.node()))
    other.clean_all()


def test_an_unlisted_part_is_replaced(real_stack):
    real_stack.stage()
    host, name = host_of(real_stack), names.image_volumes(real_stack.image)["disk"]
    volumes.remove(host, name)
    Path(host.path(name)).write_bytes(b"another file")
    real_stack.stage()
    assert staged_digests(real_stack) == {"disk": real_stack.image.digest}


def test_a_file_that_cannot_be_a_volume_is_an_error(real_stack):
    host, name = host_of(real_stack), names.image_volumes(real_stack.image)["disk"]
    os.mkfifo(host.path(name))
    with pytest.raises(libvirt.libvirtError, match="already exists"):
        volumes.write_private(host, name, b"seed")
    Path(host.path(name)).unlink()
