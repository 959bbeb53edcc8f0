"""Images copied between hosts behind ssh: two hypervisor hosts with their own network, libvirt and sshd, on one switch."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteError
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.base import Offer
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.images import host_download, peer_offer
from pragmaspec.providers.libvirt.images.tls_identity import new_tls_identity
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import Blob, StagedImage
from pragmaspec.site import LibvirtSite
from tests.providers.conftest import Subject, small_image
from tests.providers.libvirt.conftest import host_of
from tests.second_host import SecondHost, inside, one_network, second_host

pytestmark = pytest.mark.hypervisor
LIMIT_S = 60


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SecondHost, ...]]:
    with ExitStack() as stack:
        found = tuple(stack.enter_context(second_host(tmp_path_factory.mktemp("far") / f"host{each}", each)) for each in range(2))
        stack.enter_context(one_network(found))
        yield found


@pytest.fixture(scope="module")
def providers(hosts: tuple[SecondHost, ...]) -> Iterator[tuple[LibvirtProvider, ...]]:
    sites = [LibvirtSite(name=f"far{host.number}", uri=host.uri, virt_type="qemu", neighbourhood="campus") for host in hosts]
    with ExitStack() as stack:
        yield tuple(stack.enter_context(closing(LibvirtProvider(site))) for site in sites)


@pytest.fixture
def pair(
    providers: tuple[LibvirtProvider, ...], hosts: tuple[SecondHost, ...], tmp_path: Path
) -> Iterator[tuple[Subject, Subject]]:
    """One stack at both hosts, whose image only the first has. No volume, process or port is left at the end."""
    before = [listening(host) for host in hosts]
    image, files = small_image(tmp_path, "far0")
    kernel, initrd = (tmp_path / name for name in ("vmlinuz", "initrd"))
    kernel.write_bytes(os.urandom(5000))
    initrd.write_bytes(os.urandom(70000))
    image = replace(image, kernel=blob_of(kernel), initrd=blob_of(initrd))
    files = replace(files, kernel=kernel, initrd=initrd)
    first = Subject(providers[0]._host.site, providers[0], image, files, vlan=20, public=None)
    image = replace(image, site="far1")
    second = Subject(providers[1]._host.site, providers[1], image, files, vlan=20, public=None, lineage=first.lineage)
    first.stage()
    yield first, second
    for subject in (first, second):
        subject.provider.clean(subject.image, subject.mark(subject.image))
        assert volumes.list_names(host_of(subject)) == set()
    wait_until(lambda: working() == [])
    assert [listening(host) for host in hosts] == before


def blob_of(file: Path) -> Blob:
    return Blob(sha256=sha256(file.read_bytes()).hexdigest(), size_bytes=file.stat().st_size)


def nothing_here() -> ImageFiles:
    raise AssertionError("the bytes were requested on this machine")


def take(first: Subject, second: Subject, change: Callable[[Offer], Offer] = lambda offer: offer) -> list[int]:
    """Copy the image from ``first`` to ``second``. Return the reported progress."""
    progress: list[int] = []
    with first.provider.offer(first.image) as offer:
        second.provider.stage_from_peer(
            second.stage_request(nothing_here, lambda done, total: progress.append(done)), change(offer)
        )
    return progress


def stored_digests(subject: Subject) -> dict[str, str]:
    parts = names.image_volumes(subject.image).items()
    return {part: sha256(volumes.read_tail(host_of(subject), name, 2**31)).hexdigest() for part, name in parts}


def digests(image: StagedImage) -> dict[str, str]:
    return {part: getattr(image, part).sha256 for part in names.image_volumes(image)}


def listening(host: SecondHost) -> list[str]:
    """Listening sockets in the host's network."""
    return sorted(line.split()[3] for line in inside(host, "ss", "-Hltn").splitlines())


def working() -> list[str]:
    """Command lines of processes that serve or download images, at both ends."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "load_cert_chain" in words or "--dig-holes" in words or host_download.PEER_HOST_NAME in words:
            found.append(words)
    return found


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_every_part_is_copied_from_the_peer(pair: tuple[Subject, Subject]) -> None:
    first, second = pair
    progress = take(first, second)
    assert (first.fetched, second.fetched) == (1, 0), "the files were read on this machine once"
    assert stored_digests(second) == digests(second.image)
    assert progress[-1] == second.image.transfer_bytes
    assert second.observed().images == (second.image.digest,)


def test_incoming_bytes_are_served_onwards(pair: tuple[Subject, Subject]) -> None:
    """The second host serves the image to this machine while it copies it from the first."""
    first, second = pair
    with second.provider.offer(second.image, second.mark(second.image)) as onward:
        with ThreadPoolExecutor(1) as threads:
            source = {part: host_download.peer_source(onward, part, path) for part, path in onward.paths}
            taken = threads.submit(digest_from, source["disk"], second.image.disk.size_bytes)
            take(first, second)
            assert taken.result(LIMIT_S) == second.image.disk.sha256
        assert digest_from(source["initrd"], second.image.initrd.size_bytes) == second.image.initrd.sha256


def digest_from(source: host_download.DownloadSource, size: int) -> str:
    """The digest of the bytes that this machine downloads."""
    options, _, trusted = source.script_input.decode().partition("\n\n")
    with tempfile.NamedTemporaryFile("w") as certificate:
        certificate.write(trusted)
        certificate.flush()
        options = options.replace("/dev/fd/4", certificate.name)
        given = subprocess.run(["curl", "-qsSf", "--config", "-"], input=options.encode(), check=True, capture_output=True).stdout
    assert len(given) == size
    return sha256(given).hexdigest()


def test_changed_bytes_of_a_peer_are_rejected(pair: tuple[Subject, Subject], hosts: tuple[SecondHost, ...]) -> None:
    first, second = pair
    disk = hosts[0].images / names.image_volumes(first.image)["disk"]
    content = disk.read_bytes()
    with disk.open("r+b") as file:
        file.write(bytes([content[0] ^ 1]))
    with pytest.raises(SiteError, match=r"(?s)not copied from the neighbour.*other bytes than those of the image"):
        take(first, second)
    assert kinds(second) == {"ref"}
    second.stage()
    assert stored_digests(second) == digests(second.image), "it is uploaded instead"


def test_an_incomplete_image_is_not_offered(pair: tuple[Subject, Subject]) -> None:
    first, second = pair
    with pytest.raises(SiteError, match=r"(?s)far1.*the image is not there"):
        take(second, first)


def test_a_host_without_python_offers_nothing(pair: tuple[Subject, Subject], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_offer, "SCRIPT", f"PATH=/nowhere; {peer_offer.SCRIPT}")
    with pytest.raises(SiteError, match="the host has no python3"):
        take(*pair)


def test_a_host_without_a_shell_offers_nothing(pair: tuple[Subject, Subject]) -> None:
    first, second = pair
    host = host_of(first)
    before, host.site = host.site, replace(host.site, uri=f"{host.site.uri}&command=/nowhere/ssh")
    try:
        with pytest.raises(SiteError, match="No such file or directory"):
            take(first, second)
    finally:
        host.site = before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"port": 9}, "curl: .*connect"),
        ({"address": "10.77.0.99"}, "curl: .*(connect|timed out|Timeout)"),
        ({"certificate": "strange"}, "curl: .*certificate"),
        ({"paths": "unknown"}, "curl: .*404"),
    ],
)
def test_a_wrong_peer_is_rejected_without_retry(
    pair: tuple[Subject, Subject], change: dict[str, object], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_download, "PEER_CONNECT_S", 1)
    if change.get("certificate"):
        change = {"certificate": new_tls_identity(host_download.PEER_HOST_NAME).certificate}
    if change.get("paths"):
        change = {"paths": tuple((part, f"/{'0' * 64}") for part in ("disk", "kernel", "initrd"))}
    with pytest.raises(SiteError, match=rf"(?s)not copied from the neighbour.*{why}"):
        take(*pair, lambda offer: replace(offer, **change))
    assert kinds(pair[1]) == {"ref"}


def test_a_firewall_between_hosts_costs_the_connect_timeout(
    pair: tuple[Subject, Subject], hosts: tuple[SecondHost, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_download, "PEER_CONNECT_S", 1)
    there = ("INPUT", "-p", "tcp", "-s", "10.77.1.2", "-j", "DROP")
    inside(hosts[0], "iptables", "-I", *there)
    begun = time.monotonic()
    try:
        with pytest.raises(SiteError, match=r"(?s)not copied from the neighbour.*curl: "):
            take(*pair)
    finally:
        inside(hosts[0], "iptables", "-D", *there)
    assert time.monotonic() - begun < LIMIT_S / 3


def test_a_silent_client_does_not_block_others(pair: tuple[Subject, Subject]) -> None:
    first, second = pair
    with first.provider.offer(first.image) as offer, socket.create_connection((offer.address, offer.port)):
        second.provider.stage_from_peer(second.stage_request(nothing_here), offer)
    assert stored_digests(second) == digests(second.image)


def test_process_lists_contain_no_secrets(pair: tuple[Subject, Subject]) -> None:
    first, second = pair
    observed: list[str] = []

    def progress(_done: int, _total: int) -> None:
        observed.extend(working())

    with first.provider.offer(first.image) as offer:
        second.provider.stage_from_peer(second.stage_request(nothing_here, progress), offer)
    assert any("load_cert_chain" in words for words in observed)
    secrets = [path for _, path in offer.paths] + ["PRIVATE KEY", "BEGIN CERTIFICATE"]
    assert not [words for words in observed for secret in secrets if secret in words]


_PASSING = """
import sys, msgspec
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import Mark, StagedImage
from pragmaspec.site import LibvirtSite

one, other, image, mark = (msgspec.json.decode(text, type=kind) for text, kind in zip(
    sys.argv[1:], (LibvirtSite, LibvirtSite, StagedImage, Mark)))
with LibvirtProvider(one).offer(msgspec.structs.replace(image, site=one.name)) as offer:
    LibvirtProvider(other).stage_from_peer(StageRequest(image, mark, lambda: None), offer)
"""


def passing_process(first: Subject, second: Subject, failpoint: str = "") -> "subprocess.Popen[bytes]":
    values = (first.site, second.site, second.image, second.mark(second.image))
    arguments = [msgspec.json.encode(value).decode() for value in values]
    environment = {**os.environ, "PRAGMASPEC_FAILPOINT": failpoint}
    return subprocess.Popen([sys.executable, "-c", _PASSING, *arguments], env=environment)


@pytest.mark.parametrize("point", ["offered", "fetch-begun", "fetched", "part-passed-on"])
def test_a_killed_peer_copy_is_redone(pair: tuple[Subject, Subject], point: str) -> None:
    first, second = pair
    with passing_process(first, second, f"libvirt.image.{point}:1:kill") as process:
        assert process.wait(LIMIT_S) == -9
    wait_until(lambda: working() == [])
    assert second.observed().images == ()
    take(first, second)
    assert stored_digests(second) == digests(second.image)
    assert kinds(second) == {"raw", "kernel", "initrd", "complete", "ref"}


def test_both_ends_stop_when_killed_during_a_transfer(pair: tuple[Subject, Subject], hosts: tuple[SecondHost, ...]) -> None:
    first, second = pair
    with slowed(hosts[1]):
        with passing_process(first, second) as process:
            wait_until(lambda: any(name.endswith(".part") for name in volumes.list_names(host_of(second))))
            coming = names.partial_volume(names.image_volumes(second.image)["disk"], second.mark(second.image))
            wait_until(lambda: volumes.allocated_bytes(host_of(second), coming) > 0)
            assert len(working()) >= 2
            process.kill()
        wait_until(lambda: working() == [])
    assert second.observed().images == ()
    take(first, second)
    assert stored_digests(second) == digests(second.image)


@contextmanager
def slowed(host: SecondHost) -> Iterator[None]:
    """Limit the rate towards ``host`` to 1 Mbit/s."""
    rate = ["root", "tbf", "rate", "1mbit", "burst", "16k", "latency", "400ms"]
    subprocess.run(["tc", "qdisc", "add", "dev", host.device, *rate], check=True)
    try:
        yield
    finally:
        subprocess.run(["tc", "qdisc", "delete", "dev", host.device, "root"], check=True)


def kinds(subject: Subject) -> set[str]:
    """The last parts of the names of volumes at the site."""
    return {re.split(r"[.-]", name)[-1] for name in volumes.list_names(host_of(subject))}
