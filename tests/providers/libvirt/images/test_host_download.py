"""Downloads of images by a host behind ssh: a second hypervisor host with its own network, libvirt and sshd."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.images import upload
from pragmaspec.providers.libvirt.images.upload_check import verify_upload
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import Blob, StagedImage
from pragmaspec.site import LibvirtSite
from tests.providers.conftest import Subject, small_image
from tests.providers.libvirt.conftest import host_of
from tests.second_host import HERE, THERE, SecondHost, second_host
from tests.web_server import Web, web_server

pytestmark = pytest.mark.hypervisor
LIMIT_S = 60


@pytest.fixture(scope="module")
def far_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondHost]:
    with second_host(tmp_path_factory.mktemp("far") / "host") as host:
        yield host


@pytest.fixture
def web(far_host: SecondHost) -> Iterator[Web]:
    with web_server(HERE) as web:
        yield web


@pytest.fixture(scope="module")
def provider(far_host: SecondHost) -> Iterator[LibvirtProvider]:
    site = LibvirtSite(name="far", uri=far_host.uri, virt_type="qemu")
    with closing(LibvirtProvider(site)) as provider:
        yield provider


@pytest.fixture
def far(provider: LibvirtProvider, web: Web, tmp_path: Path) -> Iterator[Subject]:
    """A stack at the second host, whose image is that of the web server. Nothing of it is left at the end."""
    site = provider._host.site
    subject = Subject(site, provider, *small_image(tmp_path, site.name), vlan=20, public=None)
    web.content = subject.files.disk.read_bytes()
    yield subject
    provider.clean(subject.image, subject.mark(subject.image))
    assert volumes.list_names(provider._host) == set()


def nothing_here() -> ImageFiles:
    raise AssertionError("the files were read on this machine")


def stage(far: Subject, web: Web, files=nothing_here, *, here: bool = False, progress=lambda done, total: None) -> None:
    copy = PublicCopy(url=web.url, here=here)
    far.provider.stage(StageRequest(far.image, far.mark(far.image), files, progress, lambda: copy))


@contextmanager
def with_option(far: Subject, option: str) -> Iterator[Subject]:
    host = host_of(far)
    before, host.site = host.site, replace(host.site, fetch=option)
    try:
        yield far
    finally:
        host.site = before


def stored_digest(far: Subject) -> str:
    name = names.image_volumes(far.image)["disk"]
    return sha256(volumes.read_tail(host_of(far), name, 2**31)).hexdigest()


def listed(far: Subject) -> set[str]:
    """The last parts of the volumes' names."""
    return {name.rpartition(".")[2] for name in volumes.list_names(host_of(far))}


def test_the_host_downloads_an_image_that_is_not_local(far: Subject, web: Web) -> None:
    progress: list[int] = []
    stage(far, web, progress=lambda done, total: progress.append(done))
    assert web.asked == [THERE]
    assert stored_digest(far) == far.image.digest
    assert listed(far) == {"raw", "complete", "ref"}
    assert progress[-1] == far.image.transfer_bytes
    assert far.observed().images == (far.image.digest,)
    stage(far, web)
    assert web.asked == [THERE], "once"


def test_a_local_image_is_uploaded_and_verified_at_the_host(far: Subject, web: Web) -> None:
    stage(far, web, far.bytes, here=True)
    assert web.asked == []
    assert stored_digest(far) == far.image.digest
    forged = far.files.disk.with_name("forged")
    content = far.files.disk.read_bytes()
    forged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SiteError, match="was damaged in transit"):
        verify_upload(
            host_of(far),
            names.image_volumes(far.image)["disk"],
            forged,
            Blob(sha256=sha256(forged.read_bytes()).hexdigest(), size_bytes=forged.stat().st_size),
        )


def test_a_slow_upload_is_replaced_by_a_download(far: Subject, web: Web, monkeypatch) -> None:
    monkeypatch.setattr(upload, "TRIAL_S", 0.0)
    monkeypatch.setattr(upload, "SLOW_UPLOAD_S", -1.0)
    stage(far, web, far.bytes, here=True)
    assert web.asked == [THERE]
    assert stored_digest(far) == far.image.digest
    assert listed(far) == {"raw", "complete", "ref"}


def test_wrong_bytes_of_a_server_are_rejected(far: Subject, web: Web) -> None:
    web.content = web.content[:-1] + bytes([web.content[-1] ^ 1])
    stage(far, web, far.bytes)
    assert web.asked == [THERE]
    assert stored_digest(far) == far.image.digest, "it is uploaded instead"
    far.provider.clean(far.image, far.mark(far.image))
    with with_option(far, "host"), pytest.raises(SiteError, match="sent the host other bytes than those of the image"):
        stage(far, web)
    assert listed(far) == {"ref"}
    assert far.observed().images == ()


def test_downloads_of_another_size_are_rejected(far: Subject, web: Web) -> None:
    with with_option(far, "host"):
        for content in (b"short", b"longer " * 2**18):
            web.content = content
            with pytest.raises(SiteError, match="The host could not download the image"):
                stage(far, web)
            assert listed(far) == {"ref"}


def test_a_host_that_cannot_reach_the_server_gets_an_upload(far: Subject, web: Web) -> None:
    web.url = f"http://{THERE}:9/disk.raw"
    stage(far, web, far.bytes)
    assert stored_digest(far) == far.image.digest
    far.provider.clean(far.image, far.mark(far.image))
    with with_option(far, "host"), pytest.raises(SiteError, match=r"(?s)`fetch: host`.*curl: .*connect"):
        stage(far, web)


def test_a_url_is_never_a_command(far: Subject, web: Web) -> None:
    web.url = f"{web.url}$(touch${{IFS}}{far.files.disk.parent}/run);`id`'\"&[1-3]{{a,b}}"
    stage(far, web)
    assert web.asked == [THERE]
    assert stored_digest(far) == far.image.digest
    assert not (far.files.disk.parent / "run").exists()


def test_fetch_stream_prevents_downloads_by_the_host(far: Subject, web: Web) -> None:
    with with_option(far, "stream"):
        stage(far, web, far.bytes, here=False)
    assert web.asked == []
    assert stored_digest(far) == far.image.digest


def test_zeros_of_a_raw_disk_are_holes(far: Subject, web: Web) -> None:
    web.content = b"boot".ljust(16 * 2**20, b"\0")
    digest = sha256(web.content).hexdigest()
    disk = Blob(sha256=digest, size_bytes=len(web.content))
    far.image = replace(far.image, digest=digest, disk=disk, virtual_size_bytes=len(web.content))
    stage(far, web)
    assert stored_digest(far) == digest
    assert volumes.allocated_bytes(host_of(far), names.image_volumes(far.image)["disk"]) < 2**20


_STAGING = """
import sys, msgspec
from pathlib import Path
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import Mark, StagedImage
from pragmaspec.site import LibvirtSite

site, image, mark, copy, disk = (msgspec.json.decode(text, type=kind) for text, kind in zip(
    sys.argv[1:], (LibvirtSite, StagedImage, Mark, PublicCopy, str)))
provider = LibvirtProvider(site)
provider.stage(StageRequest(image, mark, lambda: ImageFiles(disk=Path(disk)), public_copy=lambda: copy))
"""


def staging_process(far: Subject, web: Web, failpoint: str = "") -> "subprocess.Popen[bytes]":
    values = (far.site, far.image, far.mark(far.image), PublicCopy(url=web.url), str(far.files.disk))
    arguments = [msgspec.json.encode(value).decode() for value in values]
    environment = {**os.environ, "PRAGMASPEC_FAILPOINT": failpoint}
    return subprocess.Popen([sys.executable, "-c", _STAGING, *arguments], env=environment)


def test_the_download_of_a_killed_run_ends_and_is_redone(far: Subject, web: Web) -> None:
    web.hold = threading.Event()
    with staging_process(far, web) as process:
        assert web.half_sent.wait(LIMIT_S)
        process.kill()
    assert web.broken_off.wait(LIMIT_S), "curl on the host has ended, too"
    assert far.observed().images == ()
    web.hold = None
    stage(far, web)
    assert stored_digest(far) == far.image.digest
    assert listed(far) == {"raw", "complete", "ref"}


@pytest.mark.parametrize("point", ["fetch-begun", "fetched"])
def test_a_killed_download_is_redone(far: Subject, web: Web, point: str) -> None:
    with staging_process(far, web, f"libvirt.image.{point}:1:kill") as process:
        assert process.wait(LIMIT_S) == -9
    stage(far, web, far.bytes)
    assert stored_digest(far) == far.image.digest
    assert listed(far) == {"raw", "complete", "ref"}


def test_concurrent_processes_download_once(far: Subject, web: Web) -> None:
    other = far.other()
    web.hold = threading.Event()
    with staging_process(far, web) as one, staging_process(other, web) as two:
        assert web.half_sent.wait(LIMIT_S)
        until = time.monotonic() + LIMIT_S
        while len([name for name in volumes.list_names(host_of(far)) if name.endswith(".ref")]) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
        web.hold.set()
        assert (one.wait(LIMIT_S), two.wait(LIMIT_S)) == (0, 0)
    assert web.asked == [THERE]
    assert far.observed().images == other.observed().images == (far.image.digest,)
    other.clean_all()
    assert stored_digest(far) == far.image.digest, "the other stack uses it"


def test_an_image_with_a_kernel_is_uploaded(far: Subject, web: Web, tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(b"kernel")
    blob = Blob(sha256=sha256(b"kernel").hexdigest(), size_bytes=6)
    image: StagedImage = replace(far.image, kernel=blob)
    far.image, far.files = image, replace(far.files, kernel=kernel)
    stage(far, web, far.bytes)
    assert web.asked == []
    assert stored_digest(far) == far.image.disk.sha256
