"""Images at a libvirt site beyond the shared contract: interrupted uploads, two stacks at once, parts removed by hand."""

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


class CutShortError(Exception):
    """Stands for whatever ends an upload in its middle."""


def at_the_site(stack) -> dict[str, str]:
    """Digest of every part of the stack's image that is at the site."""
    host = host_of(stack)
    found = volumes.list_names(host)
    return {
        part: sha256(volumes.read_tail(host, name, 2**31)).hexdigest()
        for part, name in names.image_volumes(stack.image).items()
        if name in found
    }


def marks_of(stack) -> list[str]:
    """The marker volumes of the stack's image, by their last word."""
    base = f"pragmaspec-{stack.image.digest[:16]}"
    return sorted(
        name.rpartition(".")[2] for name in volumes.list_names(host_of(stack)) if name.startswith(base) and names.is_marker(name)
    )


def interrupted_upload(stack) -> None:
    def transferred(done: int, total: int) -> None:
        if done:
            raise CutShortError

    with pytest.raises(CutShortError):
        stack.provider.stage(stack.stage_request(progress=transferred))


def test_an_uploaded_image_is_the_image(lab):
    outputs = lab.provider.stage(lab.stage_request())
    assert at_the_site(lab) == {"disk": lab.image.digest}
    assert dict(outputs) == {"disk": host_of(lab).path(f"pragmaspec-{lab.image.digest[:16]}-disk.raw")}
    assert marks_of(lab) == ["complete", "ref"]


def killed_upload(stack) -> None:
    """What a run leaves that was killed in the middle of an upload: its marks, and a part that is not whole."""
    host = host_of(stack)
    volumes.create_marker(host, names.reference_marker(stack.image.digest, stack.mark(stack.image)))
    volumes.create_marker(host, names.staging_marker(stack.image.digest, stack.mark(stack.image)))
    volumes.create(host, raw_xml(names.image_volumes(stack.image)["disk"], stack.image.disk.size_bytes, SHARED))


def test_a_failed_upload_leaves_nothing_that_others_would_wait_for(lab):
    interrupted_upload(lab)
    assert at_the_site(lab) == {}
    assert marks_of(lab) == ["ref"]
    assert lab.observed().images == ()
    lab.stage()
    assert at_the_site(lab) == {"disk": lab.image.digest}


def test_a_killed_upload_is_not_taken_for_the_image_and_is_redone_at_once(lab):
    killed_upload(lab)
    assert lab.observed().images == ()
    lab.stage()
    assert at_the_site(lab) == {"disk": lab.image.digest}
    assert marks_of(lab) == ["complete", "ref"]


def test_another_stack_redoes_an_upload_that_nobody_goes_on_with(lab, monkeypatch):
    monkeypatch.setattr(staging_lock, "STALE_LOCK_S", 0.5)
    killed_upload(lab)
    other = lab.other()
    other.stage()
    assert at_the_site(other) == {"disk": lab.image.digest}
    assert other.observed().images == (lab.image.digest,)
    other.clean_all()
    lab.provider.clean(lab.image, lab.mark(lab.image))


def test_parts_that_nobody_says_to_be_uploading_are_made_anew(lab, monkeypatch):
    monkeypatch.setattr(staging_lock, "STALE_PARTS_S", 0.3)
    volumes.create(host_of(lab), raw_xml(names.image_volumes(lab.image)["disk"], lab.image.disk.size_bytes, SHARED))
    lab.stage()
    assert at_the_site(lab) == {"disk": lab.image.digest}


def test_an_image_that_lost_a_part_is_staged_again(lab):
    lab.stage()
    volumes.remove(host_of(lab), names.image_volumes(lab.image)["disk"])
    lab.stage()
    assert at_the_site(lab) == {"disk": lab.image.digest}
    assert lab.fetched == 2


def test_stacks_that_stage_at_once_upload_once_and_all_have_it(lab):
    stacks = [lab, lab.other(), lab.other()]
    start = Barrier(len(stacks))

    def stage(stack) -> None:
        provider = LibvirtProvider(lab.site)
        start.wait(timeout=30)
        provider.stage(stack.stage_request())
        provider.close()

    with ThreadPoolExecutor(len(stacks)) as pool:
        list(pool.map(stage, stacks))
    assert at_the_site(lab) == {"disk": lab.image.digest}
    assert marks_of(lab) == ["complete", "ref", "ref", "ref"]
    assert all(stack.observed().images == (lab.image.digest,) for stack in stacks)
    for stack in stacks:
        assert at_the_site(lab) == {"disk": lab.image.digest}
        stack.clean_all()
    assert marks_of(lab) == []


def test_a_file_that_is_not_the_image_is_refused_and_nothing_is_marked_whole(lab):
    lab.files.disk.write_bytes(b"short")
    with pytest.raises(SiteError, match="its size does not match"):
        lab.stage()
    assert "complete" not in marks_of(lab)
    lab.provider.clean(lab.image, lab.mark(lab.image))


def test_holes_do_not_travel(lab, tmp_path):
    disk = tmp_path / "sparse.raw"
    with disk.open("wb") as file:
        file.write(b"boot")
        file.seek(2**30 - 4)
        file.write(b"tail")
    blob = replace(lab.image.disk, size_bytes=2**30)
    lab.image = replace(lab.image, disk=blob)
    lab.files = replace(lab.files, disk=disk)
    lab.stage()
    host = host_of(lab)
    assert volumes.read_tail(host, names.image_volumes(lab.image)["disk"], 4) == b"tail"
    assert volumes.allocated_bytes(host, names.image_volumes(lab.image)["disk"]) < 2**20


def test_a_file_that_ends_in_a_hole_arrives_whole(lab, tmp_path):
    disk = tmp_path / "hole.raw"
    with disk.open("wb") as file:
        file.write(b"boot" * 1024)
        file.truncate(2**20)
    lab.image = replace(lab.image, disk=replace(lab.image.disk, size_bytes=2**20))
    lab.files = replace(lab.files, disk=disk)
    lab.stage()
    assert at_the_site(lab) == {"disk": sha256(disk.read_bytes()).hexdigest()}


def test_kernel_and_initrd_travel_with_the_disk(lab, tmp_path):
    kernel, initrd = tmp_path / "vmlinuz", tmp_path / "initrd"
    kernel.write_bytes(b"kernel" * 1000)
    initrd.write_bytes(b"initrd" * 1000)
    told: list[int] = []
    lab.image = replace(
        lab.image,
        kernel=replace(lab.image.disk, size_bytes=kernel.stat().st_size),
        initrd=replace(lab.image.disk, size_bytes=initrd.stat().st_size),
    )
    lab.files = replace(lab.files, kernel=kernel, initrd=initrd)
    lab.provider.stage(lab.stage_request(progress=lambda done, total: told.append(done)))
    assert at_the_site(lab)["kernel"] == sha256(kernel.read_bytes()).hexdigest()
    assert at_the_site(lab)["initrd"] == sha256(initrd.read_bytes()).hexdigest()
    assert told[-1] == lab.image.transfer_bytes


def test_a_stack_that_begins_to_use_an_image_while_its_last_user_lets_go_has_it(lab):
    """The two in every order that threads find by themselves."""
    for _ in range(5):
        lab.stage()
        other = lab.other()
        start = Barrier(2)

        def let_go(start=start) -> None:
            start.wait(timeout=30)
            lab.provider.clean(lab.image, lab.mark(lab.image))

        def take(start=start, other=other) -> None:
            provider = LibvirtProvider(lab.site)
            start.wait(timeout=30)
            provider.stage(other.stage_request())
            provider.close()

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(let_go), pool.submit(take)]:
                done.result()
        assert other.observed().images == (lab.image.digest,)
        assert at_the_site(lab) == {"disk": lab.image.digest}
        other.clean_all()


def test_a_console_log_is_read_from_its_end(lab, tmp_path: Path):
    host: Host = host_of(lab)
    volumes.write_private(host, f"hello-frontend.{lab.lineage[:8]}-console.log", b"0123456789")
    node = lab.node()
    mark: Mark = lab.mark(node)
    assert volumes.read_tail(host, names.console_volume(node.name, mark), 4) == b"6789"
    assert lab.provider.console_log(node, mark) == b"0123456789"
    lab.provider.clean(node, mark)


def deleted(host: Host, name: str) -> None:
    volumes.remove(host, name)


def deleted_behind_the_pool(host: Host, name: str) -> None:
    Path(host.path(name)).unlink()


def truncated(host: Host, name: str) -> None:
    os.truncate(host.path(name), 5)


@pytest.mark.parametrize("harm", [deleted, deleted_behind_the_pool, truncated])
def test_an_image_that_people_harmed_is_seen_refused_at_boot_and_made_whole_for_all_stacks(lab, harm):
    lab.prepare()
    other = lab.other()
    other.stage()
    host, name = host_of(lab), names.image_volumes(lab.image)["disk"]
    assert image_damage(lab.image, lab.observed()) is None
    harm(host, name)
    for stack in (lab, other):
        damage = image_damage(stack.image, stack.observed())
        assert damage is not None
        assert f"pool {lab.site.pool}" in damage.detail
    for ask in (lab.provider.check_boot, lab.provider.boot):
        with pytest.raises(SiteError, match=r"is incomplete: its disk .*pool .* which stages it again"):
            ask(lab.boot_request(lab.node()))
    assert volumes.find(host, names.disk_volume(lab.node().name, lab.mark(lab.node()))) is None
    other.stage()
    assert at_the_site(lab) == {"disk": lab.image.digest}
    assert [image_damage(stack.image, stack.observed()) for stack in (lab, other)] == [None, None]
    lab.provider.check_boot(lab.boot_request(lab.node()))
    other.clean_all()


def test_a_part_that_came_back_behind_the_pool_is_replaced(lab):
    lab.stage()
    host, name = host_of(lab), names.image_volumes(lab.image)["disk"]
    volumes.remove(host, name)
    Path(host.path(name)).write_bytes(b"another file")
    lab.stage()
    assert at_the_site(lab) == {"disk": lab.image.digest}


def test_what_cannot_be_a_volume_is_said_and_not_waited_for(lab):
    host, name = host_of(lab), names.image_volumes(lab.image)["disk"]
    os.mkfifo(host.path(name))
    with pytest.raises(libvirt.libvirtError, match="already exists"):
        volumes.write_private(host, name, b"seed")
    Path(host.path(name)).unlink()
