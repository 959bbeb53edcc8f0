"""One image for 1, 2 and 4 hosts behind ssh: sent from here, or downloaded by each host itself.

    python benchmarks/hosts.py [--mib 128] [--mbit 200] [--hosts 1 2 4]

Needs root and what the tests need. Every host is real (its own libvirt, sshd and network, in namespaces), at the end of a wire of
its own with ``--mbit`` Mbit/s. "sent from here" is what left this machine as the user's, for all hosts; the web server stands
on this machine too, but is somebody else's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from measure import machine, table
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1]))
from pragmaspec.images.files import ImageFiles
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.recorded import Blob, Mark, StagedImage
from pragmaspec.site import LibvirtSite
from tests.second_host import SecondHost, second_host
from tests.web_server import Web, web_server

MIB = 2**20
_LINEAGE = str(uuid4())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--mbit", type=int, default=200)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4])
    arguments = parser.parse_args()
    print(machine())
    with ExitStack() as stack, tempfile.TemporaryDirectory() as scratch:
        content = os.urandom(arguments.mib * MIB)
        file = Path(scratch) / "disk.raw"
        file.write_bytes(content)
        hosts = [stack.enter_context(second_host(Path(scratch) / f"host{each}", each)) for each in range(max(arguments.hosts))]
        webs = [stack.enter_context(web_server(host.here)) for host in hosts]
        for host, web in zip(hosts, webs, strict=True):
            web.content = content
            narrow(host, arguments.mbit)
        rows = [row for way in ("stream", "host") for row in figures(way, hosts, webs, file, arguments.hosts)]
    print(
        table(
            (f"{arguments.mib} MiB, {arguments.mbit} Mbit/s to each host", "seconds", "one host = 1", "MiB sent from here"), rows
        )
    )


def figures(
    way: str, hosts: Sequence[SecondHost], webs: Sequence[Web], file: Path, counts: Sequence[int]
) -> list[tuple[str, ...]]:
    """A row for each number of hosts."""
    blob = Blob(sha256=sha256(file.read_bytes()).hexdigest(), size_bytes=file.stat().st_size)
    found: list[tuple[str, ...]] = []
    one = 0.0
    for count in counts:
        with ExitStack() as stack:
            providers = [provider_of(host, way, stack) for host in hosts[:count]]
            images = [
                StagedImage(
                    site=f"far{each}",
                    digest=blob.sha256,
                    name="bench",
                    format="raw",
                    disk=blob,
                    virtual_size_bytes=blob.size_bytes,
                )
                for each in range(count)
            ]
            asked, left = sum(len(web.asked) for web in webs), sum(map(sent_bytes, hosts))
            begun = time.perf_counter()
            with ThreadPoolExecutor(count) as threads:
                list(threads.map(lambda one: stage(*one, file), zip(providers, images, webs[:count], strict=True)))
            seconds = time.perf_counter() - begun
            by_web = (sum(len(web.asked) for web in webs) - asked) * blob.size_bytes
            ours = max(0, sum(map(sent_bytes, hosts)) - left - by_web)
            for provider, image in zip(providers, images, strict=True):
                provider.clean(image, mark_of(image))
        one = one or seconds
        words = "sent from here" if way == "stream" else "downloaded by the host"
        found.append((f"{count} hosts, {words}", f"{seconds:.1f}", f"{seconds / one:.2f}", f"{ours / MIB:.0f}"))
    return found


def stage(provider: LibvirtProvider, image: StagedImage, web: Web, file: Path) -> None:
    provider.stage_from(image, PublicCopy(url=web.url), lambda: ImageFiles(disk=file), mark_of(image), unheard)


def unheard(*_: int) -> None:
    """Nobody is told of progress."""


def provider_of(host: SecondHost, way: str, stack: ExitStack) -> LibvirtProvider:
    site = replace(LibvirtSite(name=host.here, uri=host.uri, virt_type="qemu"), fetch=way)
    provider = LibvirtProvider(site)
    stack.callback(provider.close)
    return provider


def mark_of(image: StagedImage) -> Mark:
    return Mark(lineage=_LINEAGE, address=image.address)


def narrow(host: SecondHost, mbit: int) -> None:
    """Let no more than ``mbit`` Mbit/s go to ``host``."""
    rate = ["rate", f"{mbit}mbit", "burst", "256k", "latency", "100ms"]
    subprocess.run(["tc", "qdisc", "add", "dev", host.device, "root", "tbf", *rate], check=True)


def sent_bytes(host: SecondHost) -> int:
    """What has gone over the wire to ``host``, headers included."""
    return int(Path(f"/sys/class/net/{host.device}/statistics/tx_bytes").read_text())


if __name__ == "__main__":
    main()
