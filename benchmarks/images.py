"""Speed of adding an image to the store, compared with the usual tools: ``curl | tee >(sha256sum) | zstd -d > file``.

    python benchmarks/images.py [--rounds 3] [--size-mib 512] [--packing zstd gzip raw]

The image is a raw disk of random bytes and holes, served by this program on the loopback interface. The store downloads and
verifies it, unpacks it, converts it to qcow2, inspects it (also by ``qemu-img``), hashes the result, and flushes it to the drive
before renaming it. The pipe does the first half of this and flushes nothing; ``pipe, same promises`` is a pipe that also hashes
and flushes its output. A ratio of 1 is as fast as the pipe, more is faster.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from measure import Run, Runs, home_in, machine, run, table
from scratch import scratch

MIB = 2**20
STRETCH_MIB = 64
RANDOM_MIB = 40
"""Random data per stretch of the disk; the rest is a hole."""
PACKERS = {"zstd": ("zstd", "-q", "-3", "-c"), "gzip": ("gzip", "-1", "-c"), "xz": ("xz", "-1", "-c"), "raw": ("cat",)}
UNPACKERS = {"zstd": "| zstd -dc", "gzip": "| gzip -dc", "xz": "| xz -dc", "raw": ""}
STORE = """\
import sys
from pathlib import Path
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.context import ImageContext
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.images.store.blobs import BlobStore
store, url, digest = sys.argv[1:]
UrlSource(url=url, sha256=digest).find(ImageContext(BlobStore(Path(store)), "image", ImageReporter()))
"""


def main() -> None:
    arguments = _arguments()
    print(f"{machine()}, image of {arguments.size_mib} MiB, {RANDOM_MIB * 100 // STRETCH_MIB} % of it random")
    rows = []
    with scratch(arguments.directory) as folder, _Server(folder) as server:
        disk = make_image(folder / "disk", arguments.size_mib)
        for packing in arguments.packing:
            file = packed(disk, packing)
            rows += measured(packing, server.url(file), file, folder / "work", arguments.rounds)
            if file != disk:
                file.unlink()
    print(table(("", "MiB sent", "fastest s", "median s", "MiB/s of disk", "ratio to pipe", "CPU s", "peak MiB"), rows))


def make_image(file: Path, size_mib: int) -> Path:
    """Create a raw disk of ``size_mib`` with a boot sector, random bytes and holes."""
    with file.open("wb") as stream:
        for start in range(0, size_mib, STRETCH_MIB):
            stream.seek(start * MIB)
            for _ in range(min(RANDOM_MIB, size_mib - start)):
                stream.write(os.urandom(MIB))
        stream.truncate(size_mib * MIB)
        stream.seek(446)
        stream.write(bytes([0x80, 0, 2, 0, 0x83, 0, 2, 0, *(2048).to_bytes(4, "little"), *(2048).to_bytes(4, "little")]))
        stream.write(bytes(48) + b"\x55\xaa")
    return file


def packed(disk: Path, packing: str) -> Path:
    """Return the compressed disk."""
    if packing == "raw":
        return disk
    file = disk.with_name(f"disk.{packing}")
    with file.open("wb") as target:
        subprocess.run([*PACKERS[packing], str(disk)], check=True, stdout=target)
    return file


def measured(packing: str, url: str, file: Path, work: Path, rounds: int) -> list[tuple[str, ...]]:
    """Return a row per candidate."""
    digest = _digest(file)
    unpack = UNPACKERS[packing]
    pipe = f"curl -sSf {url} | {{ tee >(sha256sum > sum); wait $!; }} {unpack} > out"
    same = f"{pipe.removesuffix('> out')} | {{ tee >(sha256sum > sum2); wait $!; }} > out; sync out"
    commands: Mapping[str, Sequence[str]] = {
        "pipe": ("bash", "-euo", "pipefail", "-c", pipe),
        "store": (sys.executable, "-c", STORE, str(work / "store"), url, digest),
        "pipe, same promises": ("bash", "-euo", "pipefail", "-c", same),
    }
    taken: dict[str, list[Run]] = {name: [] for name in commands}
    for turn in range(rounds + 1):  # the first round only warms the caches
        for name, command in commands.items():
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            one = run(command, cwd=work, env=home_in(work))
            if turn:
                taken[name].append(one)
    shutil.rmtree(work)
    runs = {name: Runs(tuple(each)) for name, each in taken.items()}
    size_mib = file.with_name("disk").stat().st_size / MIB
    return [
        (
            f"{packing}: {name}",
            f"{file.stat().st_size / MIB:.0f}",
            f"{each.fastest_s:.2f}",
            f"{each.median_s:.2f}",
            f"{size_mib / each.fastest_s:.0f}",
            f"{runs['pipe'].fastest_s / each.fastest_s:.2f}",
            f"{each.cpu_s:.2f}",
            f"{each.memory_mib:.0f}",
        )
        for name, each in runs.items()
    ]


def _digest(file: Path) -> str:
    digest = sha256()
    with file.open("rb") as stream:
        while piece := stream.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


class _Server:
    """A web server on the loopback interface for the files of ``folder``, using ``sendfile``."""

    def __init__(self, folder: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                file = folder / Path(self.path).name
                with file.open("rb") as stream:
                    self.send_response(200)
                    self.send_header("Content-Length", str(file.stat().st_size))
                    self.send_header("ETag", '"one"')
                    self.end_headers()
                    self.wfile.flush()
                    self.connection.sendfile(stream)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name is that of the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, file: Path) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{file.name}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size-mib", type=int, default=512)
    parser.add_argument("--packing", nargs="+", choices=PACKERS, default=["zstd", "gzip", "raw"])
    parser.add_argument("--directory", type=Path, help="working directory; default: that of temporary files")
    return parser.parse_args()


if __name__ == "__main__":
    main()
