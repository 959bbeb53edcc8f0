"""Staging an image at a libvirt site: upload speed, and time to create disks on it for 1, 10 and 100 nodes.

    python benchmarks/staging.py [--mib 1024] [--rounds 3] [--nodes 1 10 100]

Requires root, the libvirt daemon, virsh and qemu-img. Each row of the first table copies the same file into the same pool,
durably (cp is followed by sync, which libvirt does itself), in turns. Half of the file is a hole.
"""

import argparse
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from uuid import uuid4

from libvirt_cleanup import clear_libvirt
from measure import machine, table
from scratch import NAME, ON_DISK, scratch

from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.provider import LibvirtProvider
from pragmaspec.providers.libvirt.volumes import SHARED, overlay_xml, raw_xml
from pragmaspec.resources import Blob, Mark, StagedImage
from pragmaspec.site import LibvirtSite

POOL = f"{NAME}-staging"
DIRECTORY = Path("/var/lib/libvirt") / POOL
MIB = 2**20
SITE = LibvirtSite(name="lab", virt_type="qemu", pool=POOL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 10, 100])
    arguments = parser.parse_args()
    print(machine())
    with scratch(ON_DISK, remove=clear_libvirt) as folder, site() as (provider, host):
        make_pool()
        file = half_empty(folder / "disk.raw", arguments.mib)
        print(staging(provider, host, file, arguments.rounds))
        print(overlays(provider, host, file, arguments.nodes, arguments.rounds))


def staging(provider: LibvirtProvider, host: Host, file: Path, rounds: int) -> str:
    """Copy the file by every method, in turns."""
    image, size = image_of(file), file.stat().st_size
    copy, volume = DIRECTORY / "copy.raw", names.image_volumes(image)["disk"]

    def by_copying() -> None:
        subprocess.run(["cp", "--sparse=always", file, copy], check=True)
        subprocess.run(["sync", copy], check=True)

    def by_virsh() -> None:
        volumes.create(host, raw_xml(copy.name, size, SHARED))
        subprocess.run(["virsh", "-q", "vol-upload", copy.name, file, "--pool", POOL, "--sparse"], check=True)

    def by_streaming() -> None:
        made = volumes.create(host, raw_xml(copy.name, size, SHARED))
        assert made is not None
        volumes.upload(host, made, file, no_progress)

    def by_staging() -> None:
        provider.stage(StageRequest(image, mark_of(image), lambda: ImageFiles(disk=file)))

    ways: dict[str, tuple[Callable[[], None], Path]] = {
        "cp --sparse=always, sync": (by_copying, copy),
        "virsh vol-upload --sparse": (by_virsh, copy),
        "pragmaspec, as to a host elsewhere": (by_streaming, copy),
        "pragmaspec stage, on this machine": (by_staging, DIRECTORY / volume),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    taken: dict[str, int] = {}
    for _ in range(rounds):
        for name, (way, target) in ways.items():
            os.sync()
            took[name].append(seconds(way))
            taken[name] = target.stat().st_blocks * 512
            assert target.stat().st_size == size
            provider.clean(image, mark_of(image))
            volumes.remove(host, copy.name)
            copy.unlink(missing_ok=True)
    data, base = file.stat().st_blocks * 512, min(took["cp --sparse=always, sync"])
    rows = [
        (
            name,
            f"{min(all_):.2f}",
            f"{median(all_):.2f}",
            f"{data / MIB / min(all_):.0f}",
            f"{base / min(all_):.2f}",
            str(taken[name] // MIB),
        )
        for name, all_ in took.items()
    ]
    heading = f"{size // MIB} MiB, {data // MIB} of them data"
    return table((heading, "fastest s", "median s", "MiB/s of data", "speed, cp = 1", "MiB in the pool"), rows)


def overlays(provider: LibvirtProvider, host: Host, file: Path, nodes: list[int], rounds: int) -> str:
    """Create disks of nodes on a staged image, as many at once as a site allows; compared with sequential qemu-img."""
    image = image_of(file)
    provider.stage(StageRequest(image, mark_of(image), lambda: ImageFiles(disk=file)))
    base = host.path(names.image_volumes(image)["disk"])
    rows = []
    for count in nodes:
        ours, theirs = [], []
        for _ in range(rounds):
            made = [f"node-{index}.qcow2" for index in range(count)]
            ours.append(seconds(lambda made=made: overlays_of(host, image, base, made)))
            used = sum((DIRECTORY / name).stat().st_blocks * 512 for name in made)
            for name in made:
                volumes.remove(host, name)
            theirs.append(seconds(lambda made=made: overlays_by_hand(base, made)))
            for name in made:
                (DIRECTORY / name).unlink()
        fastest = min(ours)
        rows.append(
            (
                str(count),
                f"{fastest:.2f}",
                f"{1000 * fastest / count:.0f}",
                f"{min(theirs) / fastest:.2f}",
                f"{used / count / 1024:.0f}",
            )
        )
    provider.clean(image, mark_of(image))
    return table(("nodes", "fastest s", "ms per node", "speed, qemu-img = 1", "KiB per node"), rows)


def overlays_of(host: Host, image: StagedImage, base: str, made: list[str]) -> None:
    with ThreadPoolExecutor(SITE.parallel) as threads:
        documents = [overlay_xml(name, image.virtual_size_bytes, base, image.format) for name in made]
        assert all(threads.map(lambda document: volumes.create(host, document), documents))


def overlays_by_hand(base: str, made: list[str]) -> None:
    for name in made:
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, str(DIRECTORY / name)]
        subprocess.run(command, check=True)


def no_progress(*_: int) -> None:
    """Progress callback that does nothing."""


def seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def half_empty(file: Path, mib: int) -> Path:
    """Create a disk of ``mib`` MiB, alternating between 8 MiB of random data and 8 MiB of hole."""
    with file.open("wb") as writing:
        for at in range(0, mib, 16):
            writing.seek(at * MIB)
            writing.write(os.urandom(8 * MIB))
        writing.truncate(mib * MIB)
    os.sync()
    return file


def image_of(file: Path) -> StagedImage:
    """Return the image with an arbitrary digest, which is not verified here."""
    digest, size = sha256(str(file).encode()).hexdigest(), file.stat().st_size
    blob = Blob(sha256=digest, size_bytes=size)
    return StagedImage(site=SITE.name, digest=digest, name="bench", format="raw", disk=blob, virtual_size_bytes=size)


_LINEAGE = str(uuid4())


def mark_of(image: StagedImage) -> Mark:
    return Mark(lineage=_LINEAGE, address=image.address)


@contextmanager
def site() -> Iterator[tuple[LibvirtProvider, Host]]:
    provider, host = LibvirtProvider(SITE), Host(SITE)
    try:
        yield provider, host
    finally:
        provider.close()
        host.connection.close()


def make_pool() -> None:
    """Create an empty storage pool, which is removed with its content at the end of the benchmark."""
    DIRECTORY.mkdir(mode=0o711)
    virsh("pool-define-as", POOL, "dir", "--target", str(DIRECTORY))
    virsh("pool-start", POOL)


def virsh(*arguments: str) -> None:
    subprocess.run(["virsh", "-q", *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
