"""Disks that are made while their files still come: that they are, that it changes nothing, and that nobody trusts them early."""

import gzip
import lzma
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.disks.streaming import StreamingUnpack
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.sources.local import LocalSource
from pragmaspec.images.sources.url import UrlSource
from pragmaspec.images.store.blobs import BlobStore, file_sha256
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions
from pragmaspec.images.transfer.policy import TransferPolicy
from tests.images.bad_disks import MIB, archive, bootable, converted, tar
from tests.images.file_server import FileServer

LIMIT_S = 30.0


class Steps(ImageReporter):
    """What is told, and by the way: how often a file was begun to be unpacked after it was there."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        if doing not in self.said:
            self.said.append(doing)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


@pytest.fixture(scope="session")
def disk() -> bytes:
    """Larger than what is looked at before anything is unpacked, and half of it zeros."""
    content = bytearray(bootable(8 * MIB))
    content[MIB : 4 * MIB] = os.urandom(3 * MIB)
    return bytes(content)


@pytest.fixture(scope="session")
def packed(disk: bytes) -> bytes:
    return gzip.compress(disk, 1)


def source(server: FileServer, content: bytes) -> UrlSource:
    return UrlSource(url=server.url("disk"), sha256=sha256(content).hexdigest())


def context(store: BlobStore, reporter: ImageReporter | None = None) -> ImageContext:
    return ImageContext(store, "disk", reporter or ImageReporter(), policy=TransferPolicy(first_pause_s=0.001))


def find(store: BlobStore, source: UrlSource | LocalSource, reporter: ImageReporter | None = None) -> VerifiedImage:
    return source.find(context(store, reporter))


def made_of(directory: Path, content: bytes) -> BootableDisk:
    """What becomes of the same file when it is there whole."""
    file = directory / "whole"
    file.write_bytes(content)
    return make_disk(file, context(BlobStore(directory / "other")), name="disk")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def written(store: BlobStore) -> int:
    """How much of the disk that is being made is there."""
    return sum(file.stat().st_size for file in store.incoming.glob("disk-*.work/*"))


def published(store: BlobStore) -> list[Path]:
    return list((store.directory / "sha256").glob("*"))


def test_a_disk_is_unpacked_during_its_download_and_published_when_verified(
    server: FileServer, store: BlobStore, packed: bytes, tmp_path: Path
) -> None:
    server.content, server.stall_at = packed, len(packed) - 1000
    found: list[VerifiedImage] = []
    thread = Thread(target=lambda: found.append(find(store, source(server, packed))))
    thread.start()
    until(lambda: written(store) > 2 * MIB)
    assert published(store) == []
    server.go_on.set()
    thread.join()
    assert found[0].disk == made_of(tmp_path, packed).blob
    assert list(store.incoming.iterdir()) == []


def test_a_file_with_another_digest_is_refused(server: FileServer, store: BlobStore, packed: bytes, disk: bytes) -> None:
    server.content = gzip.compress(disk[:-512] + os.urandom(512), 1)
    with pytest.raises(ImageError, match="another digest"):
        find(store, source(server, packed))
    assert published(store) == []
    assert [file.suffix for file in store.incoming.iterdir()] == [".bad"]
    server.content, server.etag = packed, '"right"'
    assert find(store, source(server, packed)).format == "qcow2"


def test_the_next_mirror_starts_again(server: FileServer, store: BlobStore, packed: bytes, tmp_path: Path) -> None:
    with FileServer(content=packed[: len(packed) // 2] + os.urandom(len(packed) // 2)) as forged:
        right = sha256(packed).hexdigest()
        server.content = packed
        both = UrlSource(url=forged.url("disk"), mirrors=(server.url("disk"),), sha256=right)
        assert find(store, both).disk == made_of(tmp_path, packed).blob


@pytest.mark.parametrize("breaks", [[2_000_000], [1_000_000, 1_000_000, 1], [10, 0, 0, 2_500_000]])
def test_an_interrupted_download_is_resumed_with_its_unpacking(
    server: FileServer, store: BlobStore, packed: bytes, tmp_path: Path, breaks: list[int]
) -> None:
    server.content, server.break_after = packed, list(breaks)
    steps = Steps()
    assert find(store, source(server, packed), steps).disk == made_of(tmp_path, packed).blob
    assert len(server.asked) == len(breaks) + 1
    assert all(asked.headers.get("Range") for asked in server.asked[len(breaks) :])


def test_the_next_run_resumes_download_and_unpacking(server: FileServer, store: BlobStore, packed: bytes, tmp_path: Path) -> None:
    server.content, server.break_after = packed, [2_000_000, *[0] * 5]
    with pytest.raises(ImageError, match="attempts failed"):
        find(store, source(server, packed))
    assert not list(store.incoming.glob("*.work"))
    begun = len(server.asked)
    assert find(store, source(server, packed)).disk == made_of(tmp_path, packed).blob
    assert int(server.asked[begun].headers["Range"].removeprefix("bytes=").rstrip("-")) > MIB


def test_a_file_that_changes_on_the_server_is_unpacked_from_its_beginning(
    server: FileServer, store: BlobStore, packed: bytes, tmp_path: Path
) -> None:
    def change(_: object) -> None:
        server.content, server.etag = packed, '"two"'

    class Change(ImageReporter):
        def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
            if doing == "downloading" and done_bytes and done_bytes > MIB:
                change(None)

    server.content, server.break_after = gzip.compress(os.urandom(3 * MIB), 1), [2 * MIB]
    assert find(store, source(server, packed), Change()).disk == made_of(tmp_path, packed).blob


def test_streaming_gives_the_same_disk_for_every_packing(
    server: FileServer, store: BlobStore, tmp_path: Path, disk: bytes, packed: bytes
) -> None:
    qcow2 = converted(tmp_path, "qcow2")
    for content in (
        lzma.compress(disk, preset=0),
        subprocess.run(["zstd", "-qc"], input=disk, check=True, stdout=subprocess.PIPE).stdout,
        subprocess.run(["bzip2", "-c"], input=bootable(), check=True, stdout=subprocess.PIPE).stdout,
        gzip.compress(tar([("disk.raw", b"0", disk, "")]), 1),
        archive({"disk.raw": disk}, 0),
        gzip.compress(qcow2),
        gzip.compress(converted(tmp_path, "vmdk")),
        disk,
        qcow2,
    ):
        server.content, server.etag = content, f'"{sha256(content).hexdigest()}"'
        found = find(store, source(server, content))
        assert BootableDisk(found.disk, found.format, found.virtual_size_bytes) == made_of(tmp_path, content)


def test_streaming_reports_the_same_errors_as_a_local_file(server: FileServer, store: BlobStore, tmp_path: Path) -> None:
    two_files = tar([("a", b"0", bootable(), ""), ("b", b"0", bootable(), "")])
    polyglot = gzip.compress(bootable()) + bytes(512) + b"conectix" + bytes(504)
    for content in (gzip.compress(bootable())[:-9], gzip.compress(two_files), gzip.compress(b"<html>" * MIB), polyglot):
        server.content, server.etag = content, f'"{len(content)}"'
        with pytest.raises(ImageError) as whole:
            made_of(tmp_path, content)
        with pytest.raises(ImageError) as coming:
            find(store, source(server, content))
        assert str(coming.value) == str(whole.value)
        assert published(store) == []


def test_one_activity_is_reported_at_a_time(server: FileServer, store: BlobStore, packed: bytes) -> None:
    server.content = packed
    steps = Steps()
    find(store, source(server, packed), steps)
    assert steps.said[0] == "downloading"
    assert set(steps.said) <= {"downloading", "hashing", "unpacking", "checking"}


def test_holes_of_an_unpacked_download_are_preserved(server: FileServer, store: BlobStore) -> None:
    content = bootable(32 * MIB)
    server.content, server.break_after = content, [20 * MIB]
    found = find(store, source(server, content))
    file = store.path(found.disk.sha256)
    assert file.read_bytes() == content
    assert file.stat().st_blocks * 512 < 4 * MIB


def test_a_local_file_is_read_once(store: BlobStore, tmp_path: Path, packed: bytes) -> None:
    file = tmp_path / "disk.gz"
    file.write_bytes(packed)
    old = time.time() - 10
    os.utime(file, (old, old))
    local = LocalSource(disk=str(file), shown="disk.gz", sha256=sha256(packed).hexdigest())
    steps = Steps()
    found = find(store, local, steps)
    assert found.disk == made_of(tmp_path, packed).blob
    assert file.read_bytes() == packed
    assert list(store.incoming.iterdir()) == []
    with pytest.raises(ImageError, match="another digest"):
        find(store, LocalSource(disk=str(file), shown="disk.gz", sha256="0" * 64))


def test_a_local_file_that_changes_while_it_is_read_is_refused(store: BlobStore, tmp_path: Path, packed: bytes) -> None:
    file = tmp_path / "disk.gz"
    file.write_bytes(packed)

    class Meddle(ImageReporter):
        def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
            with file.open("ab") as stream:
                stream.write(b"x")

    with pytest.raises(ImageError, match="changed while it was read"):
        find(store, LocalSource(disk=str(file), shown="disk.gz"), Meddle())
    assert published(store) == []


def test_a_full_disk_is_reported(server: FileServer, store: BlobStore, packed: bytes) -> None:
    server.content = packed
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, hard))
    try:
        with pytest.raises(ImageError, match="Not enough disk space"):
            find(store, source(server, packed))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert published(store) == []


def test_an_abort_ends_at_once(store: BlobStore) -> None:
    part = store.part("x")
    part.write_bytes(gzip.compress(os.urandom(4 * MIB)))
    with StreamingUnpack(context(store), part, DiskOptions()) as unpack:
        unpack.start(8 * MIB)
        unpack.advance(3 * MIB)
    assert [file.name for file in store.incoming.iterdir()] == ["x.part"]


FETCH = """
    import sys
    from pathlib import Path
    from pragmaspec.images.transfer.policy import TransferPolicy
    from pragmaspec.images.reporter import ImageReporter
    from pragmaspec.images.context import ImageContext
    from pragmaspec.images.sources.url import UrlSource
    from pragmaspec.images.store.blobs import BlobStore
    store, url, digest = sys.argv[1:]
    UrlSource(url=url, sha256=digest).find(ImageContext(BlobStore(Path(store)), "disk", ImageReporter()))
    (highest,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(int(highest.split()[1]) // 1024)
"""


def fetching(store: BlobStore, server: FileServer, content: bytes, failpoint: str = "") -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(FETCH),
        str(store.directory),
        server.url("disk"),
        sha256(content).hexdigest(),
    ]
    environment = {**os.environ, "PRAGMASPEC_FAILPOINT": failpoint}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = process.communicate()
    return process.returncode, said


@pytest.mark.parametrize(
    "point",
    ["images.download:2", "images.download:9", "images.piece:2", "images.ours:1", "images.check:1", "images.publish.rename:1"],
)
def test_a_killed_process_publishes_nothing_incomplete(server: FileServer, store: BlobStore, packed: bytes, point: str) -> None:
    server.content = packed
    assert ended(fetching(store, server, packed, f"{point}:kill"))[0] == -signal.SIGKILL
    assert published(store) == []
    first, second = fetching(store, server, packed), fetching(store, server, packed)
    assert (ended(first)[0], ended(second)[0]) == (0, 0)
    (there,) = published(store)
    assert there.name == file_sha256(there)
    assert list(store.incoming.iterdir()) == []
    whole = [asked for asked in server.asked if "Range" not in asked.headers]
    assert (len(whole), len(server.asked)) == (1, 2), "what came is kept, and two that want it transfer it once"


def test_memory_does_not_grow_with_the_size(server: FileServer, store: BlobStore, tmp_path: Path) -> None:
    file = tmp_path / "disk"
    with file.open("wb") as stream:
        stream.write(bootable())
        stream.write(os.urandom(32 * MIB))
        stream.truncate(400 * MIB)
    server.content = subprocess.run(["zstd", "-qc", "-1", str(file)], check=True, stdout=subprocess.PIPE).stdout
    status, said = ended(fetching(store, server, server.content))
    assert status == 0
    assert int(said) < 150
