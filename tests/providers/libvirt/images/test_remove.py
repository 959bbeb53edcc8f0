"""Images that nobody uses: found, and removed without ever taking one from a stack that begins to use it."""

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


def left_without_users(stack: Subject) -> None:
    """A whole image whose mark of use is gone: as after a removal that was cut off, or somebody's tidying by hand."""
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


def digest_there(stack: Subject) -> str:
    return sha256(volumes.read_tail(host_of(stack), names.image_volumes(stack.image)["disk"], 2**31)).hexdigest()


def test_what_is_in_the_pool_is_told_with_who_uses_it(lab: Subject) -> None:
    lab.stage()
    stored = found(lab)[lab.image.digest]
    assert stored.users == (lab.lineage[:8],)
    assert stored.size_bytes >= lab.image.disk.size_bytes
    assert not stored.held
    other = lab.other()
    other.stage()
    assert set(found(lab)[lab.image.digest].users) == {lab.lineage[:8], other.lineage[:8]}
    other.clean_all()


def test_an_image_without_users_goes(lab: Subject) -> None:
    left_without_users(lab)
    assert found(lab)[lab.image.digest].users == ()
    stranger = lab.other()
    stranger.provider.clean(stranger.image, stranger.mark(stranger.image))
    assert listed(lab) == set()


def test_what_is_left_of_an_unfinished_image_goes_by_its_first_digits(lab: Subject) -> None:
    host, digest = host_of(lab), lab.image.digest
    part = names.image_volumes(lab.image)["disk"]
    for name in (part, names.partial_volume(part, lab.mark(lab.image))):
        volumes.create(host, raw_xml(name, 4096, SHARED))
    assert found(lab)[digest[:16]].users == ()
    short: StagedImage = replace(lab.image, digest=digest[:16], format="qcow2")
    lab.provider.clean(short, lab.mark(short))
    assert listed(lab) == set()


def test_an_image_that_another_stack_uses_stays(lab: Subject) -> None:
    lab.stage()
    stranger = lab.other()
    stranger.provider.clean(stranger.image, stranger.mark(stranger.image))
    assert lab.observed().images == (lab.image.digest,)
    assert digest_there(lab) == lab.image.digest


def test_an_image_that_a_disk_stands_on_stays_whoever_made_the_disk(lab: Subject) -> None:
    left_without_users(lab)
    host = host_of(lab)
    base = host.path(names.image_volumes(lab.image)["disk"])
    volumes.create(host, overlay_xml("by-hand.qcow2", 2**20, base, "raw"))
    assert found(lab)[lab.image.digest].held
    lab.provider.clean(lab.image, lab.mark(lab.image))
    assert digest_there(lab) == lab.image.digest
    volumes.remove(host, "by-hand.qcow2")
    lab.provider.clean(lab.image, lab.mark(lab.image))
    assert listed(lab) == set()


@pytest.mark.parametrize("point", ["incomplete", "part-removed"])
def test_who_stages_while_another_process_removes_waits_for_it(lab: Subject, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remover stands still in the middle, then dies there: only after a time is it given up for dead."""
    monkeypatch.setattr(staging_lock, "STALE_PARTS_S", 0.2)
    left_without_users(lab)
    stager = lab.other()
    done = threading.Event()

    def stage() -> None:
        provider = LibvirtProvider(lab.site)
        provider.stage(stager.stage_request())
        provider.close()
        done.set()

    with cleaning_process(lab, f"libvirt.image.{point}:1:sleep") as remover:
        gone = names.complete_marker(lab.image.digest) if point == "incomplete" else names.image_volumes(lab.image)["disk"]
        until(lambda: gone not in listed(lab))
        thread = threading.Thread(target=stage)
        thread.start()
        until(lambda: names.reference_marker(lab.image.digest, stager.mark(stager.image)) in listed(lab))
        assert not done.wait(5 * staging_lock.STALE_PARTS_S), "longer than parts without anybody are left alone"
        volumes.remove(host_of(lab), names.staging_marker(lab.image.digest, lab.mark(lab.image)))  # as after STALLED_S
        remover.kill()
    thread.join(LIMIT_S)
    assert done.is_set()
    assert digest_there(lab) == lab.image.digest
    assert stager.observed().images == (lab.image.digest,)
    stager.clean_all()


def test_two_processes_that_remove_and_stage_at_the_same_moment_leave_the_image(lab: Subject) -> None:
    for _ in range(3):
        left_without_users(lab)
        stager = lab.other()
        with cleaning_process(lab) as remover:
            stager.stage()
            assert remover.wait(LIMIT_S) == 0
        assert stager.observed().images == (lab.image.digest,)
        assert digest_there(lab) == lab.image.digest
        stager.clean_all()
        assert listed(lab) == set()


def test_two_processes_that_remove_at_once_leave_nothing(lab: Subject) -> None:
    left_without_users(lab)
    with cleaning_process(lab) as one, cleaning_process(lab.other()) as two:
        assert (one.wait(LIMIT_S), two.wait(LIMIT_S)) == (0, 0)
    assert listed(lab) == set()
