"""Unused images: listed, and removed, but never while a stack starts to use them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.planning.observed import StoredImage
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.images import staging_lock
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.providers.libvirt.volumes import SHARED, overlay_xml, raw_xml
from pragmaspec.resources import StagedImage
from tests.providers.conftest import Subject
from tests.providers.libvirt.conftest import host_of

pytestmark = pytest.mark.hypervisor
LIMIT_S = 60

_CLEANING = """
import sys, msgspec
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import Mark, StagedImage
from pragmaspec.site import LibvirtSite

site, image, mark = (msgspec.json.decode(text, type=kind) for text, kind in zip(sys.argv[1:], (LibvirtSite, StagedImage, Mark)))
LibvirtProvider(site).clean(image, mark)
"""


def cleaning_process(stack: Subject, failpoint: str = "") -> "subprocess.Popen[bytes]":
    values = (stack.site, stack.image, stack.mark(stack.image))
    return subprocess.Popen(
        [sys.executable, "-c", _CLEANING, *(msgspec.json.encode(value).decode() for value in values)],
        env={**os.environ, "PRAGMASPEC_FAILPOINT": failpoint},
    )


def stage_without_reference(stack: Subject) -> None:
    """A complete image without its reference: as after an interrupted removal, or a manual one."""
    stack.stage()
    volumes.remove(host_of(stack), names.reference_marker(stack.image.digest, stack.mark(stack.image)))


def found(stack: Subject) -> dict[str, StoredImage]:
    provider = stack.provider
    assert isinstance(provider, LibvirtProvider)
    return {each.digest: each for each in provider.stored()}


def listed(stack: Subject) -> set[str]:
    return {name for name in volumes.list_names(host_of(stack)) if stack.image.digest[:16] in name}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def stored_digest(stack: Subject) -> str:
    return sha256(volumes.read_tail(host_of(stack), names.image_volumes(stack.image)["disk"], 2**31)).hexdigest()


def test_stored_images_have_their_users(real_stack: Subject) -> None:
    real_stack.stage()
    stored = found(real_stack)[real_stack.image.digest]
    assert stored.users == (real_stack.lineage[:8],)
    assert stored.size_bytes >= real_stack.image.disk.size_bytes
    assert not stored.held
    other = real_stack.other()
    other.stage()
    assert set(found(real_stack)[real_stack.image.digest].users) == {real_stack.lineage[:8], other.lineage[:8]}
    other.clean_all()


def test_an_unused_image_is_removed(real_stack: Subject) -> None:
    stage_without_reference(real_stack)
    assert found(real_stack)[real_stack.image.digest].users == ()
    other = real_stack.other()
    other.provider.clean(other.image, other.mark(other.image))
    assert listed(real_stack) == set()


def test_an_incomplete_image_is_removed_by_its_first_digits(real_stack: Subject) -> None:
    host, digest = host_of(real_stack), real_stack.image.digest
    part = names.image_volumes(real_stack.image)["disk"]
    for name in (part, names.partial_volume(part, real_stack.mark(real_stack.image))):
        volumes.create(host, raw_xml(name, 4096, SHARED))
    assert found(real_stack)[digest[:16]].users == ()
    short: StagedImage = replace(real_stack.image, digest=digest[:16], format="qcow2")
    real_stack.provider.clean(short, real_stack.mark(short))
    assert listed(real_stack) == set()


def test_an_image_used_by_another_stack_is_kept(real_stack: Subject) -> None:
    real_stack.stage()
    other = real_stack.other()
    other.provider.clean(other.image, other.mark(other.image))
    assert real_stack.observed().images == (real_stack.image.digest,)
    assert stored_digest(real_stack) == real_stack.image.digest


def test_an_image_that_backs_a_foreign_disk_is_kept(real_stack: Subject) -> None:
    stage_without_reference(real_stack)
    host = host_of(real_stack)
    base = host.path(names.image_volumes(real_stack.image)["disk"])
    volumes.create(host, overlay_xml("by-hand.qcow2", 2**20, base, "raw"))
    assert found(real_stack)[real_stack.image.digest].held
    real_stack.provider.clean(real_stack.image, real_stack.mark(real_stack.image))
    assert stored_digest(real_stack) == real_stack.image.digest
    volumes.remove(host, "by-hand.qcow2")
    real_stack.provider.clean(real_stack.image, real_stack.mark(real_stack.image))
    assert listed(real_stack) == set()


@pytest.mark.parametrize("point", ["incomplete", "part-removed"])
def test_staging_waits_for_a_concurrent_removal(real_stack: Subject, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The removing process hangs and is then killed: its lock becomes stale only after a while."""
    monkeypatch.setattr(staging_lock, "STALE_PARTS_S", 0.2)
    stage_without_reference(real_stack)
    stager = real_stack.other()
    done = threading.Event()

    def stage() -> None:
        provider = LibvirtProvider(real_stack.site)
        provider.stage(stager.stage_request())
        provider.close()
        done.set()

    with cleaning_process(real_stack, f"libvirt.image.{point}:1:sleep") as remover:
        gone = (
            names.complete_marker(real_stack.image.digest)
            if point == "incomplete"
            else names.image_volumes(real_stack.image)["disk"]
        )
        until(lambda: gone not in listed(real_stack))
        thread = threading.Thread(target=stage)
        thread.start()
        until(lambda: names.reference_marker(real_stack.image.digest, stager.mark(stager.image)) in listed(real_stack))
        assert not done.wait(5 * staging_lock.STALE_PARTS_S), "longer than the limit for parts without a lock"
        volumes.remove(
            host_of(real_stack), names.staging_marker(real_stack.image.digest, real_stack.mark(real_stack.image))
        )  # as after STALE_LOCK_S
        remover.kill()
    thread.join(LIMIT_S)
    assert done.is_set()
    assert stored_digest(real_stack) == real_stack.image.digest
    assert stager.observed().images == (real_stack.image.digest,)
    stager.clean_all()


def test_concurrent_removal_and_staging_leave_the_image(real_stack: Subject) -> None:
    for _ in range(3):
        stage_without_reference(real_stack)
        stager = real_stack.other()
        with cleaning_process(real_stack) as remover:
            stager.stage()
            assert remover.wait(LIMIT_S) == 0
        assert stager.observed().images == (real_stack.image.digest,)
        assert stored_digest(real_stack) == real_stack.image.digest
        stager.clean_all()
        assert listed(real_stack) == set()


def test_concurrent_removals_leave_nothing(real_stack: Subject) -> None:
    stage_without_reference(real_stack)
    with cleaning_process(real_stack) as one, cleaning_process(real_stack.other()) as two:
        assert (one.wait(LIMIT_S), two.wait(LIMIT_S)) == (0, 0)
    assert listed(real_stack) == set()
