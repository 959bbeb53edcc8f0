import subprocess
from pathlib import Path
from typing import Literal

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.library import ImageLibrary
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.sources.pragma import PragmaSource, pragma_source
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.spec.models.image import ImageModel
from tests.images.folder_server import FolderServer
from tests.images.pragma.repositories import raw_disk

WAYS = ("plain", "packed", "split", "both")
Role = Literal["frontend", "compute"]


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


def find(source: PragmaSource, store: BlobStore) -> VerifiedImage:
    return source.find(ImageContext(store, "rocks", ImageReporter(), policy=TransferPolicy(first_pause_s=0.001)))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("role", "seed"), [("frontend", 1), ("compute", 2)])
def test_every_packing_is_supported(repository: Path, store: BlobStore, tmp_path: Path, way: str, role: Role, seed: int) -> None:
    for name, address in (("local", str(repository)), ("index", str(repository / "vcdb.txt"))):
        found = find(pragma_source(address, "./repository", way, role), store)
        assert found.virtual_size_bytes == 2**20, name
        library = ImageLibrary(store.directory)
        model = ImageModel.model_validate({"pragma": {"repository": address, "cluster": way, "role": role}})
        image = library.resolve(model, "rocks", tmp_path)
        assert image.digest == found.disk.sha256
        file = library.files(image).disk
        assert raw_of(file, found.format, tmp_path) == raw_disk(seed)
    with FolderServer(repository) as server:
        other = BlobStore(tmp_path / "other")
        remote = find(pragma_source(server.url(), server.url(), way, role), other)
    assert raw_of(other.path(remote.disk.sha256), remote.format, tmp_path) == raw_disk(seed)
    assert [entry.name for entry in (other.directory / "incoming").iterdir()] == []


class Steps(ImageReporter):
    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None, int | None]] = []

    def step(self, image: str, doing: str, done_bytes: int | None = None, total_bytes: int | None = None) -> None:
        self.steps.append((doing, done_bytes, total_bytes))


def test_progress_counts_parts_and_bytes(repository: Path, store: BlobStore) -> None:
    steps = Steps()
    pragma_source(str(repository), "./repository", "split", "frontend").find(ImageContext(store, "rocks", steps))
    assert [step for step in steps.steps if "joining" in step[0]] == [
        ("joining part 1 of 2", 0, 2**20),
        ("joining part 2 of 2", 2**19, 2**20),
    ]


def raw_of(file: Path, format_: str, tmp_path: Path) -> bytes:
    raw = tmp_path / "found.raw"
    subprocess.run(["qemu-img", "convert", "-f", format_, "-O", "raw", str(file), str(raw)], check=True)
    return raw.read_bytes()


def test_a_missing_part_is_reported_by_name(repository: Path, store: BlobStore) -> None:
    (repository / "both" / "frontend.vda.gz.b").unlink()
    with pytest.raises(ImageError, match=r"frontend\.vda\.gz\.b"):
        find(pragma_source(str(repository), "./repository", "both", "frontend"), store)
    with FolderServer(repository) as server, pytest.raises(ImageError, match=r"frontend\.vda\.gz\.b"):
        find(pragma_source(server.url(), server.url(), "both", "frontend"), store)
    assert not (store.directory / "sha256").exists()


@pytest.mark.parametrize("part", ["frontend.vda.gz.a", "frontend.vda.gz.c"])
def test_a_damaged_part_is_detected(repository: Path, store: BlobStore, part: str) -> None:
    file = repository / "both" / part
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(ImageError, match=r"gzip|damaged"):
        find(pragma_source(str(repository), "./repository", "both", "frontend"), store)
    assert not (store.directory / "sha256").exists()


def test_a_disk_of_another_format_than_declared_is_rejected(repository: Path, store: BlobStore, qcow2: bytes) -> None:
    (repository / "plain" / "frontend.vda").write_bytes(qcow2)
    with pytest.raises(ImageError, match="raw"):
        find(pragma_source(str(repository), "./repository", "plain", "frontend"), store)


def test_changed_files_are_another_image(repository: Path) -> None:
    def described() -> str:
        return pragma_source(str(repository), "./repository", "both", "frontend").described()

    before = described()
    assert before == described()
    file = repository / "both" / "frontend.vda.gz.c"
    file.write_bytes(file.read_bytes() + b"x")
    assert described() != before


def test_secrets_in_the_url_are_not_shown() -> None:
    source = pragma_source("https://host/vms?key=canary", "https://host/vms?key=canary", "rocks", "compute")
    assert source.origin() == "compute of rocks in https://host/vms"
