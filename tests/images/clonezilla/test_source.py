import os
import shutil
import signal
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.context import ImageContext, VerifiedImage
from pragmaspec.images.library import ImageLibrary
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.sources.clonezilla import ClonezillaSource, clonezilla_source
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.transfer.policy import TransferPolicy
from pragmaspec.spec.models.image import ImageModel
from tests.images.clonezilla import real
from tests.images.folder_server import FolderServer


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


def find(source: ClonezillaSource, store: BlobStore) -> VerifiedImage:
    return source.find(ImageContext(store, "rocks", ImageReporter(), policy=TransferPolicy(first_pause_s=0.001)))


def disk_in(store: BlobStore, found: VerifiedImage, tmp_path: Path) -> bytes:
    raw = tmp_path / "found.raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(store.path(found.disk.sha256)), str(raw)], check=True)
    return raw.read_bytes()


def leftovers(store: BlobStore) -> list[str]:
    return sorted(entry.name for entry in (store.directory / "incoming").iterdir())


def test_a_local_directory_is_restored(saved: Path, mbr_disk: Path, store: BlobStore, tmp_path: Path) -> None:
    found = find(clonezilla_source(str(saved), "./image"), store)
    assert (found.format, found.virtual_size_bytes) == ("qcow2", mbr_disk.stat().st_size)
    assert disk_in(store, found, tmp_path) == mbr_disk.read_bytes()
    assert leftovers(store) == []


def test_a_copy_of_the_directory_has_the_same_digest(saved: Path, store: BlobStore, tmp_path: Path) -> None:
    copied = real.copy(saved, tmp_path / "copy")
    first, second = clonezilla_source(str(saved), "./image"), clonezilla_source(str(copied), "./image")
    assert first.described() == second.described()
    assert find(first, store).disk == find(second, BlobStore(tmp_path / "other")).disk


def test_changed_content_is_another_image(saved: Path, tmp_path: Path) -> None:
    before = clonezilla_source(str(saved), "./image").described()
    image = real.copy(saved, tmp_path / "image")
    last = max(image.glob("vda1.*"))
    content = bytearray(last.read_bytes())
    content[-1] ^= 1
    last.write_bytes(content)
    assert clonezilla_source(str(image), "./image").described() != before
    assert clonezilla_source(str(tmp_path / "absent"), "./image").described() != before


def test_a_directory_on_a_listing_web_server_is_restored(saved: Path, mbr_disk: Path, store: BlobStore, tmp_path: Path) -> None:
    with FolderServer(saved) as server:
        found = find(clonezilla_source(server.url(), server.url()), store)
        volumes = [path for path in server.asked if "ptcl-img" in path]
    assert disk_in(store, found, tmp_path) == mbr_disk.read_bytes()
    assert len(volumes) == len(set(volumes)) == 4
    assert leftovers(store) == []


def test_an_interrupted_run_resumes_with_the_file_in_progress(saved: Path, store: BlobStore) -> None:
    with FolderServer(saved) as server:
        source = clonezilla_source(server.url(), server.url())
        server.cut += ["vda5.dd-img.ab"] * 50
        with pytest.raises(ImageError):
            find(source, store)
        assert not (store.directory / "sha256").exists()
        before = len(server.asked)
        server.cut.clear()
        find(source, store)
        again = [path for path in server.asked[before:] if "-img" in path and "clonezilla" not in path]
    assert again == ["/vda5.dd-img.ab"]
    assert leftovers(store) == []


def test_a_wrong_volume_is_downloaded_again(saved: Path, store: BlobStore, tmp_path: Path) -> None:
    image = real.copy(saved, tmp_path / "image")
    volume = image / "vda5.dd-img.ab"
    good = volume.read_bytes()
    volume.write_bytes(good[:-1] + b"!")
    with FolderServer(image) as server:
        source = clonezilla_source(server.url(), server.url())
        with pytest.raises(ImageError, match="checksum"):
            find(source, store)
        assert leftovers(store) == []
        volume.write_bytes(good)
        assert find(source, store).format == "qcow2"


def test_a_directory_in_an_iso_image_is_restored(saved: Path, mbr_disk: Path, store: BlobStore, tmp_path: Path) -> None:
    """As PRAGMA's cziso has it: a recovery medium with the directory below /home/partimag."""
    root, iso = tmp_path / "root", tmp_path / "rocks.iso"
    shutil.copytree(saved, root / "home" / "partimag" / "rocks")
    (root / "live").mkdir()
    (root / "live" / "vmlinuz").write_bytes(b"kernel")
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", str(iso), str(root)], check=True)
    found = find(clonezilla_source(str(iso), "./rocks.iso"), store)
    assert disk_in(store, found, tmp_path) == mbr_disk.read_bytes()
    with FolderServer(tmp_path) as server:
        assert find(clonezilla_source(server.url("rocks.iso"), "x"), BlobStore(tmp_path / "other")).disk == found.disk


@pytest.mark.parametrize("at", [0, 32768, 32768 + 156, 40960, 60_000])
def test_a_damaged_iso_image_is_rejected(saved: Path, store: BlobStore, tmp_path: Path, at: int) -> None:
    iso = tmp_path / "rocks.iso"
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", str(iso), str(saved)], check=True)
    content = iso.read_bytes()
    iso.write_bytes(content[:at] if at < 50_000 else content[:at] + bytes(20_000))
    with pytest.raises(ImageError):
        find(clonezilla_source(str(iso), "./rocks.iso"), store)


def test_an_iso_image_without_a_clonezilla_directory_is_rejected(store: BlobStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "readme").write_text("hello")
    subprocess.run(["genisoimage", "-quiet", "-R", "-o", str(tmp_path / "x.iso"), str(root)], check=True)
    with pytest.raises(ImageError, match="contains no Clonezilla directories"):
        find(clonezilla_source(str(tmp_path / "x.iso"), "./x.iso"), store)


def test_concurrent_restores_run_one_after_the_other(saved: Path, store: BlobStore) -> None:
    results: list[str] = []
    source = clonezilla_source(str(saved), "./image")
    threads = [threading.Thread(target=lambda: results.append(find(source, store).disk.sha256)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert len(set(results)) == 1


def test_a_kill_leaves_no_image_in_the_store(saved: Path, store: BlobStore) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pragmaspec.images.reporter import ImageReporter\n"
        "from pragmaspec.images.context import ImageContext\n"
        "from pragmaspec.images.sources.clonezilla import clonezilla_source\n"
        "from pragmaspec.images.store.blobs import BlobStore\n"
        "class PrintingReporter(ImageReporter):\n"
        "    def step(self, image, doing, done=None, total=None): print(doing, flush=True)\n"
        "clonezilla_source(sys.argv[1], './image').find(ImageContext(BlobStore(Path(sys.argv[2])), 'rocks', PrintingReporter()))"
    )
    arguments = [sys.executable, "-c", code, str(saved), str(store.directory)]
    for stage in (
        "writing the partition table",
        "restoring vda3",
        "restoring vda5, volume 2 of 2",
        "writing the disk",
        "checking",
    ):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
            for line in process.stdout or ():
                if line.startswith(stage):
                    os.killpg(process.pid, signal.SIGKILL)
                    break
        assert process.returncode == -signal.SIGKILL, stage
        assert list((store.directory / "sha256").glob("*")) == [], stage
    with (
        subprocess.Popen(arguments, stdout=subprocess.PIPE) as first,
        subprocess.Popen(arguments, stdout=subprocess.PIPE) as second,
    ):
        first.communicate()
        second.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(list((store.directory / "sha256").glob("*"))) == 1
    assert leftovers(store) == []


def test_an_image_of_a_spec_is_locked_and_restored_once(saved: Path, tmp_path: Path) -> None:
    spec, library = tmp_path / "spec", ImageLibrary(tmp_path / "store")
    real.copy(saved, spec / "image")
    model = ImageModel(clonezilla="./image")
    image = library.resolve(model, "rocks", spec)
    assert library.files(image).disk.is_file()
    assert "clonezilla" not in image.origin
    assert "rocks" in (spec / "pragmaspec.lock").read_text()
    for file in (spec / "image").glob("vda1.*"):
        file.rename(file.with_suffix(".moved"))
    colleague = tmp_path / "colleague"
    shutil.copytree(saved, colleague / "image")
    shutil.copy(spec / "pragmaspec.lock", colleague)
    same = ImageLibrary(tmp_path / "other").resolve(model, "rocks", colleague)
    assert same.digest == image.digest == sha256(library.files(image).disk.read_bytes()).hexdigest()


def test_a_disk_that_cannot_boot_is_rejected(store: BlobStore, tmp_path: Path) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    image.mkdir()
    real.shell(
        'truncate -s 8M "$disk"; mkfs.ext4 -q -F "$disk"; cd "$image"; echo vda > parts; echo vda > disk;'
        "echo 'Disk /dev/vda: 16384s' > vda-pt.parted; gzip < \"$disk\" > vda.dd-img",
        disk=disk,
        image=image,
    )
    with pytest.raises(ImageError, match=r"boot|partition"):
        find(clonezilla_source(str(image), "./image"), store)
    assert leftovers(store) == [], "no partial result remains"
