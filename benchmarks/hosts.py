"""One image for 1, 2 and 4 hosts behind ssh: sent from here to each, downloaded by each, or sent once and passed on between them.

    python benchmarks/hosts.py [--mib 256] [--line 100] [--wire 1000] [--hosts 1 2 4] [--rounds 1]

Needs root and what the tests need. Every host is real (its own libvirt, sshd and network, in namespaces). They stand on one
switch, each at the end of a wire with ``--wire`` Mbit/s towards it, as in one machine room; what one hands to another goes over
the other's wire only. This machine is the user's, at the end of a line with ``--line`` Mbit/s that all it sends shares. The web
server stands on this machine too, but is somebody else's: its bytes go past that line, over one of ``--wire`` Mbit/s of its own.

So "sent" is what the user's line makes of it, N times the time of one host; "downloaded" needs a public copy, and has the
server's line shared by the hosts; "passed on" pays the user's line once, and then one transfer over the wires, however many hosts
there are. All hosts share the processors of this machine here, which hosts of one's own do not: hashing and encrypting for three
of them at once takes longer than it should. "sent from here" is counted where the user's line begins, headers and all.
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
from remains import scratch

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
WORDS = {"sent": "sent from here to each", "downloaded": "downloaded by each", "passed on": "sent once, passed on"}
OPTIONS = {
    "sent": {"fetch": "stream"},
    "downloaded": {"fetch": "host"},
    "passed on": {"fetch": "stream", "neighbourhood": "room"},
}
_LINEAGE = str(uuid4())


class Room(NamedTuple):
    """The hosts, this machine's device at their switch, and where the image is."""

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
    with furnished(arguments) as room:
        rows = [row for way in WORDS for row in figures(way, room, arguments.hosts, arguments.rounds)]
    title = f"{arguments.mib} MiB; line {arguments.line} Mbit/s, wires {arguments.wire} Mbit/s"
    print(table((title, "seconds", "one host = 1", "MiB sent from here"), rows))


@contextmanager
def furnished(arguments: argparse.Namespace) -> Iterator[Room]:
    with scratch(made=remove_hosts) as folder, ExitStack() as stack:
        file = folder / "disk.raw"
        file.write_bytes(os.urandom(arguments.mib * MIB))
        hosts = [stack.enter_context(second_host(folder / f"host{each}", each)) for each in range(max(arguments.hosts))]
        device = stack.enter_context(one_network(hosts))
        run("ip", "address", "add", f"{SERVER}/32", "dev", device)
        narrow(device, hosts, arguments.line, arguments.wire)
        web = stack.enter_context(web_server(SERVER))
        web.content = file.read_bytes()
        yield Room(hosts, device, web.url, file)


def narrow(device: str, hosts: Sequence[SecondHost], line: int, wire: int) -> None:
    """Give the user's line, the server's line and each host's wire their widths."""
    run("tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "1")
    for number, mbit in ((1, line), (2, wire)):
        classid = ["parent", "1:", "classid", f"1:{number}"]
        run("tc", "class", "add", "dev", device, *classid, "htb", "rate", f"{mbit}mbit", "burst", "256k", "cburst", "256k")
    run("tc", *f"filter add dev {device} parent 1: protocol ip u32 match ip src {SERVER}/32 flowid 1:2".split())
    for host in hosts:
        run("tc", *f"qdisc add dev {host.device} root tbf rate {wire}mbit burst 512k latency 100ms".split())


def figures(way: str, room: Room, counts: Sequence[int], rounds: int) -> list[tuple[str, ...]]:
    """A row for each number of hosts: medians."""
    found: list[tuple[str, ...]] = []
    one = 0.0
    for count in counts:
        measured = [measure(way, room, count) for _ in range(rounds)]
        seconds, ours = median(each[0] for each in measured), median(each[1] for each in measured)
        one = one or seconds
        found.append((f"{count} hosts, {WORDS[way]}", f"{seconds:.1f}", f"{seconds / one:.2f}", f"{ours / MIB:.0f}"))
    return found


def measure(way: str, room: Room, count: int) -> tuple[float, int]:
    """Seconds until the last host has the image, and bytes that went into the user's line."""
    digest, size = sha256(room.file.read_bytes()).hexdigest(), room.file.stat().st_size
    blob = Blob(sha256=digest, size_bytes=size)
    bare = StagedImage(site="", digest=digest, name="bench", format="raw", disk=blob, virtual_size_bytes=size)
    sites = [
        replace(LibvirtSite(name=f"far{host.number}", uri=host.uri, virt_type="qemu"), **OPTIONS[way])
        for host in room.hosts[:count]
    ]
    with ExitStack() as stack:
        providers = {site.name: LibvirtProvider(site) for site in sites}
        for provider in providers.values():
            stack.callback(provider.close)
            provider.identity()  # connects
        neighbours = ImageSharing(plan_of(sites), State(lineage=_LINEAGE), providers)
        left, begun = sent_bytes(room.device), time.perf_counter()
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(lambda name: stage(neighbours, providers[name], replace(bare, site=name), room), providers))
        seconds = time.perf_counter() - begun
        ours = sent_bytes(room.device) - left
        for name, provider in providers.items():
            provider.clean(replace(bare, site=name), mark_of(replace(bare, site=name)))
    return seconds, ours


def stage(neighbours: ImageSharing, provider: LibvirtProvider, image: StagedImage, room: Room) -> Outputs:
    """As an apply does it."""
    copy = PublicCopy(url=room.url)
    request = StageRequest(image, mark_of(image), lambda: ImageFiles(disk=room.file), public_copy=lambda: copy)
    return neighbours.stage(
        image,
        lambda: provider.stage(request),
        lambda offer: provider.stage_from_peer(request, offer),
        unheard,
    )


def unheard(*_: object) -> None:
    """Nobody is told of progress."""


def plan_of(sites: Sequence[LibvirtSite]) -> Plan:
    planned = tuple(PlannedSite(site=site) for site in sites)
    return Plan(lineage=_LINEAGE, serial=0, state_sha256="", spec_file="", spec_sha256="", sites=planned)


def mark_of(image: StagedImage) -> Mark:
    return Mark(lineage=_LINEAGE, address=image.address)


def sent_bytes(device: str) -> int:
    """What has gone into the user's line."""
    shown = run("tc", "-s", "class", "show", "dev", device)
    found = re.search(r"class htb 1:1 .*\n +Sent (\d+) bytes", shown)
    assert found, shown
    return int(found[1])


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
