"""Images that one host behind ssh hands to another: two hypervisor hosts with own networks, libvirt and sshd, on one switch."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.providers.base import Offer
from pragmaspec.providers.libvirt import fetching, names, volumes
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.recorded import Blob, StagedImage
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
    """One stack at both hosts, whose image only the first has. Nothing of it is left at the end, nor any process or port."""
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
        assert volumes.listed(host_of(subject)) == set()
    wait_until(lambda: working() == [])
    assert [listening(host) for host in hosts] == before


def blob_of(file: Path) -> Blob:
    return Blob(sha256=sha256(file.read_bytes()).hexdigest(), size_bytes=file.stat().st_size)


def take(first: Subject, second: Subject, change: Callable[[Offer], Offer] = lambda offer: offer) -> list[int]:
    """Returns what was told of the transfer."""
    told: list[int] = []
    with first.provider.offer(first.image) as offer:
        second.provider.stage_from_neighbour(
            second.image, change(offer), second.mark(second.image), lambda done, total: told.append(done)
        )
    return told


def digests_there(subject: Subject) -> dict[str, str]:
    parts = names.image_volumes(subject.image).items()
    return {part: sha256(volumes.tail(host_of(subject), name, 2**31)).hexdigest() for part, name in parts}


def digests(image: StagedImage) -> dict[str, str]:
    return {part: getattr(image, part).sha256 for part in names.image_volumes(image)}


def listening(host: SecondHost) -> list[str]:
    """Where anybody listens in the host's network."""
    return sorted(line.split()[3] for line in inside(host, "ss", "-Hltn").splitlines())


def working() -> list[str]:
    """Command lines of what hands out or fetches on a host, or has it do so."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "load_cert_chain" in words or "--dig-holes" in words or fetching.NEIGHBOUR in words:
            found.append(words)
    return found


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_second_host_takes_every_part_from_the_first(pair: tuple[Subject, Subject]) -> None:
    first, second = pair
    told = take(first, second)
    assert (first.fetched, second.fetched) == (1, 0), "the bytes were asked for on this machine once"
    assert digests_there(second) == digests(second.image)
    assert told[-1] == second.image.transfer_bytes
    assert second.observed().images == (second.image.digest,)
