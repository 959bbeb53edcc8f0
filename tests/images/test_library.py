import gzip
import os
import re
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

import pragmaspec.images
from pragmaspec.errors import ImageError, Where
from pragmaspec.images.catalogue import Catalogue
from pragmaspec.images.library import ImageLibrary
from pragmaspec.images.lock.entries import summary_for_image
from pragmaspec.images.lock.lock_file import LOCK_FILE, read_lock
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.resources import BootImage, image_fields
from pragmaspec.spec.models.image import ImageModel
from tests.images.file_server import FileServer

WHERE = Where(file="cluster.yaml", line=2, column=3)


@pytest.fixture
def disk(spec_directory: Path, qcow2: bytes) -> Path:
    file = spec_directory / "disk.qcow2"
    file.write_bytes(qcow2)
    return file


def digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def test_a_local_disk_is_used_in_place(library: ImageLibrary, spec_directory: Path, disk: Path) -> None:
    image = library.resolve(ImageModel(source="./disk.qcow2"), "mine", spec_directory, WHERE)
    assert (image.name, image.origin, image.format, image.where) == ("mine", "./disk.qcow2", "qcow2", WHERE)
    assert image.digest == image.disk.sha256 == digest(disk)
    assert image.virtual_size_bytes == 64 * 2**20
    assert library.files(image).disk == disk
    assert [entry.digest for entry in library.entries()] == [image.digest]
    assert not (spec_directory / LOCK_FILE).exists(), "a local file needs no lock: the file decides"


def test_qemu_img_checks_a_local_disk_once_and_after_changes(
    library: ImageLibrary, spec_directory: Path, disk: Path, tmp_path: Path
) -> None:
    good, old = disk.read_bytes(), time.time() - 10
    os.utime(disk, (old, old))
    library.resolve(ImageModel(source="disk.qcow2"), "mine", spec_directory, WHERE)
    code = (
        "import sys; from pathlib import Path\n"
        "from pragmaspec.images.reporter import ImageReporter\n"
        "from pragmaspec.images.context import ImageContext\n"
        "from pragmaspec.images.sources.local import LocalSource\n"
        "from pragmaspec.images.store.blobs import BlobStore\n"
        "print(LocalSource(disk=sys.argv[1], shown='x').find(ImageContext(BlobStore(Path(sys.argv[2])), 'x', ImageReporter())))\n"
        "assert 'subprocess' not in sys.modules, 'nothing was started'"
    )
    subprocess.run([sys.executable, "-c", code, str(disk), str(tmp_path / "store")], check=True, stdout=subprocess.PIPE)
    disk.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))  # in a table that our own inspector does not follow
    with pytest.raises(ImageError, match="cannot be checked by qemu-img"):
        library.resolve(ImageModel(source="disk.qcow2"), "mine", spec_directory, WHERE)


def test_kernel_and_initrd_are_part_of_the_digest(library: ImageLibrary, spec_directory: Path, disk: Path) -> None:
    (spec_directory / "vmlinuz").write_bytes(b"kernel")
    (spec_directory / "initrd").write_bytes(b"initrd")
    model = ImageModel(source="disk.qcow2", kernel="./vmlinuz", initrd="initrd", cmdline="console=ttyS0")
    image = library.resolve(model, "tiny", spec_directory)
    assert image.cmdline == "console=ttyS0"
    assert image.digest == BootImage(**image_fields(image)).digest != image.disk.sha256
    files = library.files(image)
    assert (files.kernel, files.initrd) == (spec_directory / "vmlinuz", spec_directory / "initrd")
    (spec_directory / "initrd").write_bytes(b"another")
    assert library.resolve(model, "tiny", spec_directory).digest != image.digest


def test_a_disk_replaced_after_the_plan_is_refused(library: ImageLibrary, spec_directory: Path, disk: Path) -> None:
    image = library.resolve(ImageModel(source="disk.qcow2"), "mine", spec_directory, WHERE)
    disk.write_bytes(disk.read_bytes().replace(b"dirty bit", b"other bit"))
    with pytest.raises(ImageError, match="Image mine has changed") as refused:
        library.files(image)
    assert refused.value.problems[0].where == WHERE
    assert library.entries() == ()


def test_a_moved_disk_is_found_by_content(library: ImageLibrary, spec_directory: Path, disk: Path) -> None:
    image = library.resolve(ImageModel(source="disk.qcow2"), "mine", spec_directory)
    copy = spec_directory / "copy.qcow2"
    shutil.copy(disk, copy)
    library.resolve(ImageModel(source="copy.qcow2"), "copy", spec_directory)
    disk.unlink()
    assert library.files(image).disk == copy


def test_the_digest_in_the_spec_must_match(library: ImageLibrary, spec_directory: Path, disk: Path) -> None:
    assert library.resolve(ImageModel(source="disk.qcow2", sha256=digest(disk)), "mine", spec_directory)
    with pytest.raises(ImageError, match=f"Image mine has another digest.*{'a' * 64}"):
        library.resolve(ImageModel(source="disk.qcow2", sha256="a" * 64), "mine", spec_directory, WHERE)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (ImageModel(source="absent.qcow2"), "There is no file"),
        (ImageModel(source="disk.qcow2", format="raw"), "Image mine refused: It is declared as raw"),
        (ImageModel(source="disk.qcow2", kernel="absent"), "absent"),
        (ImageModel(source="text"), "text"),
    ],
)
def test_an_error_has_the_image_name_and_position(
    library: ImageLibrary, spec_directory: Path, disk: Path, model: ImageModel, words: str
) -> None:
    (spec_directory / "text").write_text("not a disk\n" * 200_000)
    with pytest.raises(ImageError, match=words) as refused:
        library.resolve(model, "mine", spec_directory, WHERE)
    assert all(problem.where == WHERE and "mage mine" in problem.summary for problem in refused.value.problems)


def test_summaries_name_the_image() -> None:
    assert summary_for_image("Image is not pinned", "web") == "Image web is not pinned"
    assert summary_for_image("Unknown catalogue name", "web") == "Unknown catalogue name (image web)"


def test_every_summary_is_constant() -> None:
    texts = [file.read_text(encoding="utf-8") for file in sorted(Path(pragmaspec.images.__file__ or "").parent.rglob("*.py"))]
    titles = [title for text in texts for title in re.findall(r'(?:ImageError|UsageError|image_refused)\(\s*f?"([^"]*)",', text)]
    assert len(titles) > 50
    assert [title for title in titles if not title[0].isupper()] == []


def test_all_missing_files_are_reported_at_once(library: ImageLibrary, spec_directory: Path) -> None:
    with pytest.raises(ImageError) as refused:
        library.resolve(ImageModel(source="./no.raw", format="raw", kernel="./vmlinuz"), "bare", spec_directory)
    assert [problem.detail for problem in refused.value.problems] == [
        f"There is no file {spec_directory / name}. Paths of images are relative to the spec." for name in ("no.raw", "vmlinuz")
    ]
    with pytest.raises(ImageError, match=r"There is no file /absent/no\.raw\.$"):
        library.resolve(ImageModel(source="/absent/no.raw"), "bare", spec_directory)


def test_a_locked_url_is_planned_without_a_download(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes, tmp_path: Path
) -> None:
    server.content = qcow2
    model = ImageModel(source=server.url(), sha256=sha256(qcow2).hexdigest())
    image = library.resolve(model, "web", spec_directory)
    assert library.files(image).disk.read_bytes() == qcow2
    assert read_lock(spec_directory)["web"].virtual_size_bytes == 64 * 2**20

    colleague = ImageLibrary(tmp_path / "colleague")
    same = colleague.resolve(model, "web", spec_directory)
    assert same == image
    assert len(server.asked) == 1
    assert colleague.entries() == ()
    # A library of another run fetches what it was never told the URL of.
    assert ImageLibrary(tmp_path / "colleague").files(same).disk.read_bytes() == qcow2
    assert len(server.asked) == 2
    assert [entry.digest for entry in colleague.entries()] == [image.digest]


def test_the_lock_file_does_not_depend_on_day_or_machine(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes, tmp_path: Path
) -> None:
    server.content = qcow2
    model = ImageModel(source=server.url(), sha256=sha256(qcow2).hexdigest())
    library.resolve(model, "web", spec_directory)
    lock = spec_directory / LOCK_FILE
    written = lock.read_text().replace(read_lock(spec_directory)["web"].date, "2020-01-01")
    lock.write_text(written)
    ImageLibrary(tmp_path / "colleague").resolve(model, "web", spec_directory)
    assert lock.read_text() == written


def test_a_changed_description_makes_a_new_entry(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes
) -> None:
    server.content = qcow2
    library.resolve(ImageModel(source=server.url(), sha256=sha256(qcow2).hexdigest()), "web", spec_directory)
    server.content = larger = qcow2 + bytes(65536)
    image = library.resolve(ImageModel(source=server.url(), sha256=sha256(larger).hexdigest()), "web", spec_directory)
    assert read_lock(spec_directory)["web"].digest == image.digest == sha256(larger).hexdigest()


def test_a_lock_entry_that_contradicts_itself_is_refused(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes
) -> None:
    server.content = qcow2
    model = ImageModel(source=server.url(), sha256=sha256(qcow2).hexdigest())
    image = library.resolve(model, "web", spec_directory)
    lock = spec_directory / LOCK_FILE
    lock.write_text(lock.read_text().replace(f'digest = "{image.digest}"', f'digest = "{"0" * 64}"'))
    with pytest.raises(ImageError, match=r"contradicts itself \(image web\)"):
        library.resolve(model, "web", spec_directory)


@pytest.mark.parametrize("locked", [False, True])
def test_a_lock_entry_that_contradicts_the_stored_bytes_is_refused(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes, tmp_path: Path, *, locked: bool
) -> None:
    server.content = qcow2
    model = ImageModel(source=server.url(), sha256=sha256(qcow2).hexdigest())
    image = library.resolve(model, "web", spec_directory)
    library.files(image)
    lock = spec_directory / LOCK_FILE
    lock.write_text(lock.read_text().replace(f"virtual_size_bytes = {image.virtual_size_bytes}", "virtual_size_bytes = 512"))
    with pytest.raises(ImageError, match="its disk is qcow2 with virtual_size_bytes = 512, but its bytes are qcow2"):
        ImageLibrary(tmp_path / "store", locked=locked).resolve(model, "web", spec_directory)


def test_a_lock_entry_that_contradicts_the_download_is_refused(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes, tmp_path: Path
) -> None:
    server.content = qcow2
    model = ImageModel(source=server.url(), sha256=sha256(qcow2).hexdigest())
    size = library.resolve(model, "web", spec_directory).virtual_size_bytes
    lock = spec_directory / LOCK_FILE
    lock.write_text(lock.read_text().replace(f"virtual_size_bytes = {size}", "virtual_size_bytes = 512"))
    another = ImageLibrary(tmp_path / "another machine")
    image = another.resolve(model, "web", spec_directory)
    with pytest.raises(ImageError, match=f"virtual_size_bytes = 512, but its bytes are qcow2 with {size}"):
        another.files(image)


def test_an_unknown_image_is_reported(library: ImageLibrary, spec_directory: Path, disk: Path, tmp_path: Path) -> None:
    image = library.resolve(ImageModel(source="disk.qcow2"), "mine", spec_directory)
    with pytest.raises(ImageError, match="Image mine is unknown"):
        ImageLibrary(tmp_path / "empty").files(image)


def test_entries_are_private_and_damaged_ones_are_ignored(
    library: ImageLibrary, spec_directory: Path, disk: Path, tmp_path: Path
) -> None:
    image = library.resolve(ImageModel(source="disk.qcow2"), "mine", spec_directory)
    (entry,) = (tmp_path / "store" / "images").iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    entry.write_text("{")
    assert Catalogue(BlobStore(tmp_path / "store")).get(image.digest) is None
    assert library.entries() == ()
    assert library.packages(image.digest) == ()


def test_relative_paths_are_resolved(library: ImageLibrary, spec_directory: Path, disk: Path) -> None:
    below = spec_directory / "below"
    below.mkdir()
    image = library.resolve(ImageModel(source="../disk.qcow2"), "mine", below)
    assert os.fspath(library.files(image).disk) == os.fspath(disk)


def test_a_url_without_a_digest_must_be_locked_first(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes, tmp_path: Path
) -> None:
    server.content = qcow2
    model = ImageModel(source=server.url("latest"))
    server.redirect = {"/latest": "/2026-11-01.qcow2"}
    with pytest.raises(ImageError, match=r"Image web is not pinned.*pragmaspec lock") as refused:
        library.resolve(model, "web", spec_directory, WHERE)
    assert refused.value.problems[0].where == WHERE
    assert server.asked == []
    change = library.lock(model, "web", spec_directory)
    assert (change.change, change.entry.url) == ("new", server.url("2026-11-01.qcow2"))

    image = library.resolve(model, "web", spec_directory)
    assert image.digest == sha256(qcow2).hexdigest()
    asked = len(server.asked)
    server.redirect = {"/latest": "/2026-12-01.qcow2"}
    colleague = ImageLibrary(tmp_path / "colleague", locked=True)
    assert colleague.resolve(model, "web", spec_directory) == image
    assert len(server.asked) == asked
    assert colleague.files(image).disk.read_bytes() == qcow2
    assert server.asked[asked].path == "/2026-11-01.qcow2", "where it was found, and not where it was asked for"


def test_locking_again_changes_nothing(library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes) -> None:
    server.content, server.modified = qcow2, "Sun, 01 Nov 2026 10:00:00 GMT"
    model = ImageModel(source=server.url())
    library.lock(model, "web", spec_directory)
    written, asked = (spec_directory / LOCK_FILE).read_text(), len(server.asked)
    server.content, server.etag = qcow2 + bytes(512), '"two"'
    assert library.lock(model, "web", spec_directory).change == "same"
    assert ((spec_directory / LOCK_FILE).read_text(), len(server.asked)) == (written, asked)
    server.modified = "Sun, 01 Nov 2020 10:00:00 GMT"
    with pytest.raises(ImageError, match="now serves 2020-11-01, but the newer 2026-11-01 is locked"):
        library.lock(model, "web", spec_directory, upgrade=True)
    assert (spec_directory / LOCK_FILE).read_text() == written
    server.modified, server.etag = "Tue, 01 Dec 2026 10:00:00 GMT", '"three"'
    moved = library.lock(model, "web", spec_directory, upgrade=True)
    assert (moved.change, moved.entry.digest) == ("moved", sha256(qcow2 + bytes(512)).hexdigest())


def test_a_changed_url_must_be_locked(library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes) -> None:
    server.content = qcow2
    library.lock(ImageModel(source=server.url("one")), "web", spec_directory)
    other = ImageModel(source=server.url("two"))
    with pytest.raises(ImageError, match="not pinned"):
        library.resolve(other, "web", spec_directory)
    assert library.lock(other, "web", spec_directory).change == "described", "it is the same image"


def test_with_locked_any_difference_is_refused(
    library: ImageLibrary, spec_directory: Path, server: FileServer, qcow2: bytes, disk: Path, tmp_path: Path
) -> None:
    server.content = qcow2
    model = ImageModel(source=server.url(), sha256=sha256(qcow2).hexdigest())
    strict = ImageLibrary(tmp_path / "store", locked=True)
    with pytest.raises(ImageError, match=r"no entry for it. `pragmaspec lock` adds one"):
        strict.resolve(model, "web", spec_directory)
    library.lock(model, "web", spec_directory)
    assert strict.resolve(model, "web", spec_directory).digest == sha256(qcow2).hexdigest()
    changed = ImageModel(source=server.url("other"), sha256=sha256(qcow2).hexdigest())
    with pytest.raises(ImageError, match="description in the spec has changed"):
        strict.resolve(changed, "web", spec_directory)
    with pytest.raises(ImageError, match="and now a local file decides"):
        strict.resolve(ImageModel(source="disk.qcow2"), "web", spec_directory)
    written = (spec_directory / LOCK_FILE).read_text()
    with pytest.raises(ImageError, match="not in the spec: web"):
        strict.remove_stale(spec_directory, ["other"])
    assert (spec_directory / LOCK_FILE).read_text() == written
    assert [change.change for change in library.remove_stale(spec_directory, ["other"])] == ["removed"]
    assert read_lock(spec_directory) == {}


def test_a_locked_local_disk_must_not_change(library: ImageLibrary, spec_directory: Path, disk: Path, tmp_path: Path) -> None:
    model = ImageModel(source="disk.qcow2")
    strict = ImageLibrary(tmp_path / "store", locked=True)
    assert library.lock(model, "mine", spec_directory).change == "new"
    assert strict.resolve(model, "mine", spec_directory).digest == digest(disk)
    with disk.open("ab") as file:
        file.write(bytes(512))
    assert library.resolve(model, "mine", spec_directory).digest == digest(disk), "the file decides"
    for refuse in (lambda: strict.resolve(model, "mine", spec_directory), lambda: library.lock(model, "mine", spec_directory)):
        with pytest.raises(ImageError, match=r"\./disk\.qcow2|disk\.qcow2 has the digest"):
            refuse()
    assert library.lock(model, "mine", spec_directory, upgrade=True).change == "moved"
    assert strict.resolve(model, "mine", spec_directory).digest == digest(disk)


def test_a_packed_local_disk_is_unpacked_into_the_store(library: ImageLibrary, spec_directory: Path, disk: Path) -> None:
    packed = spec_directory / "disk.qcow2.gz"
    packed.write_bytes(gzip.compress(disk.read_bytes()))
    image = library.resolve(ImageModel(source="disk.qcow2.gz", sha256=digest(packed)), "mine", spec_directory)
    assert image.virtual_size_bytes == 64 * 2**20
    files = library.files(image)
    assert files.disk.parent.name == "sha256"
    assert packed.exists()
    files.disk.unlink()
    assert library.files(image).disk.exists()
