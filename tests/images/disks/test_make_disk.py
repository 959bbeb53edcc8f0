"""From a file to a disk in the store: what goes in, what comes out, what happens when something goes wrong in between."""

import gzip
import os
import resource
import signal
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.store.blobs import BlobStore, file_sha256
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions, cached_disk
from tests.images.bad_disks import MIB, archive, bootable, converted, tar


class Reporter(ImageReporter):
    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None, int | None]] = []

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        self.steps.append((doing, done_bytes, total_bytes))


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()


@pytest.fixture
def context(tmp_path: Path, reporter: Reporter) -> ImageContext:
    return ImageContext(BlobStore(tmp_path / "store"), "disk", reporter)


def make(context: ImageContext, file: Path, declared: str | None = None, *, partitionless: bool = False) -> BootableDisk:
    return make_disk(file, context, DiskOptions(declared=declared, partitionless=partitionless), name="disk")


def written(directory: Path, name: str, content: bytes) -> Path:
    file = directory / name
    file.write_bytes(content)
    return file


def content_of(context: ImageContext, made: BootableDisk, directory: Path) -> bytes:
    """What a guest sees."""
    raw = directory / "seen.raw"
    command = ["qemu-img", "convert", "-f", made.format, "-O", "raw", str(context.store.path(made.blob.sha256)), str(raw)]
    subprocess.run(command, check=True)
    return raw.read_bytes()


def test_raw_and_qcow2_disks_are_kept_byte_for_byte(context: ImageContext, tmp_path: Path) -> None:
    for format_, content in (("raw", bootable()), ("qcow2", converted(tmp_path, "qcow2"))):
        file = written(tmp_path, f"disk.{format_}", content)
        made = make(context, file)
        assert made == (made.blob, format_, 2 * MIB)
        assert made.blob.sha256 == sha256(content).hexdigest()
        assert context.store.path(made.blob.sha256).read_bytes() == content
        assert context.store.path(made.blob.sha256).stat().st_mode & 0o777 == 0o444
        assert file.read_bytes() == content, "the user's own file is left alone"


def test_an_incoming_file_is_consumed(context: ImageContext) -> None:
    part = context.store.part("download")
    part.write_bytes(bootable())
    made = make(context, part)
    assert not part.exists()
    packed = context.store.part("packed")
    packed.write_bytes(gzip.compress(bootable()))
    assert make(context, packed).virtual_size_bytes == made.virtual_size_bytes
    assert list(context.store.incoming.iterdir()) == []


def test_compression_and_archives_are_removed(context: ImageContext, tmp_path: Path) -> None:
    disk = bootable()
    ova = tar([("a.ovf", b"0", b"<x/>", ""), ("a.mf", b"0", b"-", ""), ("a.vmdk", b"0", converted(tmp_path, "vmdk"), "")])
    packed = {
        "disk.gz": gzip.compress(disk),
        "twice.gz": gzip.compress(disk[:MIB]) + gzip.compress(disk[MIB:]),
        "disk.tar": tar([("./", b"5", b"", ""), ("./disk.raw", b"0", disk, "")]),
        "disk.tar.gz": gzip.compress(tar([("disk.raw", b"0", disk, "")])),
        "disk.zip": archive({"disk.raw": disk}),
        "stored.zip": archive({"disk.raw": disk}, 0),
        "disk.ova": ova,
    }
    found = {make(context, written(tmp_path, name, content)) for name, content in packed.items()}
    assert len(found) == 1, "one content, one digest"
    assert content_of(context, found.pop(), tmp_path) == disk


@pytest.mark.parametrize("tool", ["gzip -9", "xz -9", "xz -T2 --block-size=64KiB", "bzip2", "zstd", "zstd -19", "pzstd"])
def test_files_of_compression_tools_are_read(context: ImageContext, tmp_path: Path, tool: str) -> None:
    written(tmp_path, "disk", bootable())
    file = tmp_path / "packed"
    with file.open("wb") as target:
        subprocess.run([*tool.split(), "-c", str(tmp_path / "disk")], check=True, stdout=target, stderr=subprocess.DEVNULL)
    assert content_of(context, make(context, file), tmp_path) == bootable()


@pytest.mark.parametrize("options", [("--format=gnu",), ("--format=pax",), ("--format=ustar",), ("--format=oldgnu", "-S")])
def test_archives_by_tar_are_read(context: ImageContext, tmp_path: Path, options: tuple[str, ...]) -> None:
    disk = bytearray(bootable(8 * MIB))
    for at in range(MIB, 8 * MIB, 128 * 1024):
        disk[at : at + 4] = b"data"
    written(tmp_path, "d" * 90 + ".raw", bytes(disk))
    subprocess.run(["cp", "--sparse=always", "d" * 90 + ".raw", "sparse.raw"], cwd=tmp_path, check=True)
    subprocess.run(["tar", *options, "-cf", "disk.tar", "sparse.raw"], cwd=tmp_path, check=True)
    assert content_of(context, make(context, tmp_path / "disk.tar"), tmp_path) == bytes(disk)


def test_a_packed_disk_without_partitions_must_be_declared(context: ImageContext, tmp_path: Path) -> None:
    file = written(tmp_path, "root.raw.gz", gzip.compress(b"\1" + bytes(2 * MIB - 1)))
    made = make(context, file, "raw", partitionless=True)
    assert (made.format, made.virtual_size_bytes) == ("qcow2", 2 * MIB)
    with pytest.raises(ImageError, match="no partition table"):
        make(context, file, "raw")
    with pytest.raises(ImageError, match="cannot be detected"):
        make(context, file, None, partitionless=True)


def test_a_known_disk_is_not_made_again(context: ImageContext, tmp_path: Path, reporter: Reporter) -> None:
    file = written(tmp_path, "disk.gz", gzip.compress(bootable()))
    digest = file_sha256(file)
    first = make_disk(file, context, name="disk", digest=digest)
    reporter.steps.clear()
    assert make_disk(file, context, name="disk", digest=digest) == first
    assert reporter.steps == []
    assert cached_disk(context.store, digest, DiskOptions(declared="raw")) is None, "another description"
    context.store.path(first.blob.sha256).unlink()
    assert make_disk(file, context, name="disk", digest=digest) == first


def test_progress_is_reported_in_bytes(context: ImageContext, tmp_path: Path, reporter: Reporter) -> None:
    content = gzip.compress(os.urandom(0) + bootable(8 * MIB) + os.urandom(MIB))
    make(context, written(tmp_path, "disk.gz", content))
    unpacking = [(done, total) for doing, done, total in reporter.steps if doing == "unpacking"]
    assert unpacking[-1] == (len(content), len(content))
    assert "checking" in {doing for doing, _, _ in reporter.steps}
    reporter.steps.clear()
    make(context, written(tmp_path, "disk.vdi", converted(tmp_path, "vdi")))
    assert ("converting", 2 * MIB, 2 * MIB) in reporter.steps


def test_holes_are_preserved(context: ImageContext, tmp_path: Path) -> None:
    file = written(tmp_path, "disk.raw", bootable())
    os.truncate(file, 64 * MIB)
    stored = context.store.path(make(context, file).blob.sha256)
    assert stored.stat().st_size == 64 * MIB
    assert stored.stat().st_blocks * 512 < 4 * MIB
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", str(file), str(tmp_path / "disk.vmdk")], check=True)
    assert context.store.path(make(context, tmp_path / "disk.vmdk").blob.sha256).stat().st_size < 4 * MIB


def test_special_files_are_refused_without_blocking(context: ImageContext, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for file in (fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(ImageError, match="Not a file"):
            make(context, file)
    with pytest.raises(ImageError, match="cannot be read"):
        make(context, tmp_path / "absent")


def test_a_file_that_is_replaced_meanwhile_has_no_effect(context: ImageContext, tmp_path: Path) -> None:
    """The name is looked up once: what was inspected is what gets in."""
    file = written(tmp_path, "disk.raw", bootable())
    other = written(tmp_path, "other.raw", b"QFI\xfb" + bytes(2 * MIB - 4))

    class Swap(ImageReporter):
        def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
            if other.exists():
                other.replace(file)

    swapping = ImageContext(context.store, "disk", Swap())
    assert make(swapping, file).blob.sha256 == sha256(bootable()).hexdigest()
    assert file.read_bytes().startswith(b"QFI")


@pytest.mark.parametrize("kind", ["gz", "xz", "zst", "bz2"])
def test_a_decompression_bomb_is_stopped(tmp_path: Path, kind: str) -> None:
    """Its zeros take neither memory nor room; more bytes than a disk of its size has are refused."""
    tool = {"gz": "gzip -1", "xz": "xz -0", "zst": "zstd -1", "bz2": "bzip2"}[kind]
    bomb = tmp_path / f"bomb.{kind}"
    with bomb.open("wb") as target:
        script = f"head -c 64M /dev/zero | {tool} -c"
        subprocess.run(["sh", "-c", script], check=True, stdout=target, stderr=subprocess.DEVNULL)
    code = f"""
        import resource
        from pathlib import Path
        from pragmaspec.images.archives import layers
        from pragmaspec.images.formats.random_access import open_regular
        with open_regular(Path({str(bomb)!r})) as window:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            stream, _ = layers.unwrap(window)
            try:
                for piece in layers.limit_bytes(stream.rest(), 48 * 2**20):
                    assert len(piece) <= 2 * 2**20
            except Exception as error:
                print(error)
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True).stdout
    words, grown_mib = said.splitlines()
    assert "expands to more than" in words
    assert int(grown_mib) < 40


def test_a_full_file_system_is_reported(context: ImageContext, tmp_path: Path) -> None:
    file = written(tmp_path, "disk.gz", gzip.compress(os.urandom(4 * MIB)[:510] + b"\x55\xaa" + os.urandom(4 * MIB - 512)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(ImageError, match="before disk was complete"):
            make(context, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(context.store.incoming.iterdir()) == []


POINTS = (
    *(f"images.piece:{number}:kill" for number in (1, 3)), "images.check:1:kill", "images.publish.sync:1:kill",
    "images.publish.rename:1:kill", "images.publish.renamed:1:kill",
)  # fmt: skip
CONVERSION_POINTS = ("images.convert:1:kill", "images.converted:1:kill", "images.piece:40:kill", "images.publish.rename:1:kill")


@pytest.mark.parametrize(
    ("kind", "point"),
    [*((kind, point) for kind in ("raw", "raw.gz") for point in POINTS), *(("vmdk", point) for point in CONVERSION_POINTS)],
)
def test_a_killed_process_publishes_nothing_incomplete(tmp_path: Path, kind: str, point: str) -> None:
    disk = bytearray(bootable(4 * MIB))
    disk[MIB:] = os.urandom(3 * MIB)
    file = written(tmp_path, f"disk.{kind}", gzip.compress(bytes(disk)) if kind == "raw.gz" else bytes(disk))
    if kind == "vmdk":
        raw = written(tmp_path, "raw", bytes(disk))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", str(raw), str(file)], check=True)
    store = BlobStore(tmp_path / "store")
    killed = _in_a_process(store, file, {"PRAGMASPEC_FAILPOINT": point})
    assert killed.wait() == -signal.SIGKILL
    for there in _published(store):
        assert there.name == file_sha256(there), "what has a final name is whole"
    first, second = _in_a_process(store, file, {}), _in_a_process(store, file, {})
    assert (first.wait(), second.wait()) == (0, 0), "the next run succeeds, also two at once"
    (there,) = _published(store)
    assert there.name == file_sha256(there)
    assert there.stat().st_mode & 0o777 == 0o444
    assert list(store.incoming.iterdir()) == [], "nor does anything else stay"


def _published(store: BlobStore) -> list[Path]:
    directory = store.directory / "sha256"
    return list(directory.iterdir()) if directory.exists() else []


def _in_a_process(store: BlobStore, file: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    code = f"""
        from pathlib import Path
        from pragmaspec.images.disks.make_disk import make_disk
        from pragmaspec.images.reporter import ImageReporter
        from pragmaspec.images.context import ImageContext
        from pragmaspec.images.store.blobs import BlobStore
        context = ImageContext(BlobStore(Path({str(store.directory)!r})), "disk", ImageReporter())
        make_disk(Path({str(file)!r}), context, name="disk")
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, **environment})
