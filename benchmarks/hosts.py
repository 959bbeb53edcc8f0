"""One image for 1, 2 and 4 hosts behind ssh: uploaded to each, downloaded by each, or uploaded once and shared between them.

    python benchmarks/hosts.py [--mib 256] [--line 100] [--wire 1000] [--hosts 1 2 4] [--rounds 1]

Requires root and the packages of the tests. Every host is real (its own libvirt, sshd and network, in namespaces). All hosts are
connected to one switch, with an inbound bandwidth of ``--wire`` Mbit/s each; a transfer between hosts only uses the bandwidth of
the receiver. This machine represents the user, with an outbound bandwidth of ``--line`` Mbit/s for all its transfers. The web
server also runs on this machine, but represents a third party: it has its own bandwidth of ``--wire`` Mbit/s.

So "uploaded" is limited by the user's line, and takes N times the time of one host; "downloaded" requires a public copy, and the
hosts share the server's bandwidth; "shared" uses the user's line once, plus one transfer between hosts, for any number of them.
All hosts share the CPUs of this machine, unlike separate hosts: hashing and encrypting for three of them at once takes longer
than it should. "MiB sent from here" is counted at the start of the user's line, including headers.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

from measure import machine, table
from msgspec.structs import replace
from scratch import scratch

sys.path.insert(0, str(Path(__file__).parents[1]))
from pragmaspec.engine.image_sharing import ImageSharing
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.plan import Plan, PlannedSite
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.resources import Blob, Mark, Outputs, StagedImage
from pragmaspec.site import LibvirtSite
from pragmaspec.state_model import State
from tests.second_host import SecondHost, one_network, remove_hosts, second_host
from tests.web_server import web_server

MIB = 2**20
SERVER = "10.77.200.1"
ROUTES = {"sent": "uploaded to each", "downloaded": "downloaded by each", "shared": "uploaded once, shared"}
OPTIONS = {
    "sent": {"fetch": "stream"},
    "downloaded": {"fetch": "host"},
    "shared": {"fetch": "stream", "neighbourhood": "campus"},
}
_LINEAGE = str(uuid4())


class Setup(NamedTuple):
    """The hosts, this machine's device at their switch, and the URL and file of the image."""

    hosts: Sequence[SecondHost]
    device: str
    url: str
    file: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--line", type=int, default=100)
    parser.add_argument("--wire", type=int, default=1000)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print(machine())
    with running_hosts(arguments) as setup:
        rows = [row for route in ROUTES for row in figures(route, setup, arguments.hosts, arguments.rounds)]
    title = f"{arguments.mib} MiB; line {arguments.line} Mbit/s, wires {arguments.wire} Mbit/s"
    print(table((title, "seconds", "one host = 1", "MiB sent from here"), rows))


@contextmanager
def running_hosts(arguments: argparse.Namespace) -> Iterator[Setup]:
    with scratch(remove=remove_hosts) as folder, ExitStack() as stack:
        file = folder / "disk.raw"
        file.write_bytes(os.urandom(arguments.mib * MIB))
        hosts = [stack.enter_context(second_host(folder / f"host{each}", each)) for each in range(max(arguments.hosts))]
        device = stack.enter_context(one_network(hosts))
        run("ip", "address", "add", f"{SERVER}/32", "dev", device)
        limit_bandwidth(device, hosts, arguments.line, arguments.wire)
        web = stack.enter_context(web_server(SERVER))
        web.content = file.read_bytes()
        yield Setup(hosts, device, web.url, file)


def limit_bandwidth(device: str, hosts: Sequence[SecondHost], line: int, wire: int) -> None:
    """Set the bandwidth of the user, of the server and of each host."""
    run("tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "1")
    for number, mbit in ((1, line), (2, wire)):
        classid = ["parent", "1:", "classid", f"1:{number}"]
        run("tc", "class", "add", "dev", device, *classid, "htb", "rate", f"{mbit}mbit", "burst", "256k", "cburst", "256k")
    run("tc", *f"filter add dev {device} parent 1: protocol ip u32 match ip src {SERVER}/32 flowid 1:2".split())
    for host in hosts:
        run("tc", *f"qdisc add dev {host.device} root tbf rate {wire}mbit burst 512k latency 100ms".split())


def figures(route: str, setup: Setup, counts: Sequence[int], rounds: int) -> list[tuple[str, ...]]:
    """Return a row per number of hosts, with medians."""
    found: list[tuple[str, ...]] = []
    one = 0.0
    for count in counts:
        measured = [measure(route, setup, count) for _ in range(rounds)]
        seconds, ours = median(each[0] for each in measured), median(each[1] for each in measured)
        one = one or seconds
        found.append((f"{count} hosts, {ROUTES[route]}", f"{seconds:.1f}", f"{seconds / one:.2f}", f"{ours / MIB:.0f}"))
    return found


def measure(route: str, setup: Setup, count: int) -> tuple[float, int]:
    """Return the seconds until the last host has the image, and the bytes sent over the user's line."""
    digest, size = sha256(setup.file.read_bytes()).hexdigest(), setup.file.stat().st_size
    blob = Blob(sha256=digest, size_bytes=size)
    bare = StagedImage(site="", digest=digest, name="bench", format="raw", disk=blob, virtual_size_bytes=size)
    sites = [
        replace(LibvirtSite(name=f"far{host.number}", uri=host.uri, virt_type="qemu"), **OPTIONS[route])
        for host in setup.hosts[:count]
    ]
    with ExitStack() as stack:
        providers = {site.name: LibvirtProvider(site) for site in sites}
        for provider in providers.values():
            stack.callback(provider.close)
            provider.identity()  # connects
        sharing = ImageSharing(plan_of(sites), State(lineage=_LINEAGE), providers)
        left, begun = sent_bytes(setup.device), time.perf_counter()
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(lambda name: stage(sharing, providers[name], replace(bare, site=name), setup), providers))
        seconds = time.perf_counter() - begun
        ours = sent_bytes(setup.device) - left
        for name, provider in providers.items():
            provider.clean(replace(bare, site=name), mark_of(replace(bare, site=name)))
    return seconds, ours


def stage(sharing: ImageSharing, provider: LibvirtProvider, image: StagedImage, setup: Setup) -> Outputs:
    """Stage the image like an apply."""
    copy = PublicCopy(url=setup.url)
    request = StageRequest(image, mark_of(image), lambda: ImageFiles(disk=setup.file), public_copy=lambda: copy)
    return sharing.stage(
        image,
        lambda: provider.stage(request),
        lambda offer: provider.stage_from_peer(request, offer),
        no_progress,
    )


def no_progress(*_: object) -> None:
    """Progress callback that does nothing."""


def plan_of(sites: Sequence[LibvirtSite]) -> Plan:
    planned = tuple(PlannedSite(site=site) for site in sites)
    return Plan(lineage=_LINEAGE, serial=0, state_sha256="", spec_file="", spec_sha256="", sites=planned)


def mark_of(image: StagedImage) -> Mark:
    return Mark(lineage=_LINEAGE, address=image.address)


def sent_bytes(device: str) -> int:
    """Return the bytes sent over the user's line."""
    shown = run("tc", "-s", "class", "show", "dev", device)
    found = re.search(r"class htb 1:1 .*\n +Sent (\d+) bytes", shown)
    assert found, shown
    return int(found[1])


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
