"""The disk among the members of an archive: OVAs, Vagrant boxes, archives with other files, members named in the spec."""

import gzip
import hashlib
import io
import json
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pragmaspec.errors import ImageError
from pragmaspec.images.archives.ovf import MAX_METADATA_BYTES, disk_files, manifest_digests
from pragmaspec.images.context import ImageContext
from pragmaspec.images.disks.make_disk import make_disk
from pragmaspec.images.library import ImageLibrary
from pragmaspec.images.lock.lock_file import read_lock
from pragmaspec.images.reporter import ImageReporter
from pragmaspec.images.store.blobs import BlobStore
from pragmaspec.images.store.conversion_cache import BootableDisk, DiskOptions
from pragmaspec.spec.models.image import ImageModel
from tests.images.bad_disks import bootable, converted, zstd
from tests.images.file_server import FileServer

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
Files = Mapping[str, bytes]
Pack = Callable[[Files], bytes]


def tar(files: Files, form: int = tarfile.PAX_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def zipped(files: Files) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


PACKS: dict[str, Pack] = {
    "tar": tar,
    "GNU tar": lambda files: tar(files, tarfile.GNU_FORMAT),
    "tar.gz": lambda files: gzip.compress(tar(files), 1, mtime=0),
    "tar.zst": lambda files: zstd(tar(files)),
    "zip": zipped,
}
every_pack = pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)


def ovf(*disks: str, files: str = "") -> bytes:
    """An OVF descriptor; ``disks``: attributes of its disks."""
    listed = "".join(f"<Disk ovf:capacity='2' ovf:capacityAllocationUnits='byte * 2^20' {disk}/>" for disk in disks)
    return (
        f"<?xml version='1.0'?><Envelope xmlns='{OVF}' xmlns:ovf='{OVF}'><References>{files}</References>"
        f"<DiskSection><Info>disks</Info>{listed}</DiskSection></Envelope>"
    ).encode()


def file(identity: str, href: str, more: str = "") -> str:
    return f"<File ovf:id='{identity}' ovf:href='{href}' {more}/>"


ONE = ovf("ovf:diskId='d' ovf:fileRef='f1'", files=file("f1", "vm-disk1.vmdk") + file("f2", "vm.nvram"))
TWO = ovf("ovf:diskId='a' ovf:fileRef='f1'", "ovf:diskId='b' ovf:fileRef='f2'", files=file("f1", "a.vmdk") + file("f2", "b.vmdk"))


def made(directory: Path, content: bytes, member: str = "") -> BootableDisk:
    (directory / "archive").write_bytes(content)
    context = ImageContext(BlobStore(directory / "store"), "image", ImageReporter())
    return make_disk(directory / "archive", context, DiskOptions(member=member), name="disk")


def refusal(directory: Path, content: bytes, member: str = "") -> str:
    with pytest.raises(ImageError) as refused:
        made(directory, content, member)
    return str(refused.value)


def test_a_zip_made_from_standard_input_is_read(tmp_path: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo("-")
        member.external_attr = (stat.S_IFIFO | 0o600) << 16
        archive.writestr(member, bootable())
    assert made(tmp_path, target.getvalue()) == made(tmp_path, zipped({"disk": bootable()}))


@pytest.fixture(scope="module")
def vmdk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return converted(tmp_path_factory.mktemp("vmdk"), "vmdk", "subformat=streamOptimized")


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return converted(tmp_path_factory.mktemp("qcow2"), "qcow2")


@pytest.fixture
def alone(tmp_path: Path, vmdk: bytes) -> BootableDisk:
    """The image made of the disk without an archive."""
    (tmp_path / "alone").mkdir()
    return made(tmp_path / "alone", vmdk)


@every_pack
def test_the_descriptor_of_an_ova_selects_its_disk(tmp_path: Path, vmdk: bytes, alone: BootableDisk, pack: Pack) -> None:
    content = pack(
        {"._vm.ovf": b"\0\5\26\7", "vm.ovf": ONE, "vm.nvram": b"MRVN" + bytes(80), "vm-disk1.vmdk": vmdk, "notes.img": b"no disk"}
    )
    assert made(tmp_path, content) == alone


@every_pack
def test_the_order_of_members_does_not_matter(tmp_path: Path, vmdk: bytes, alone: BootableDisk, pack: Pack) -> None:
    other = bootable(2**20)
    content = pack({"data.img": other, "vm-disk1.vmdk": vmdk, "vm.nvram": b"x", "vm.ovf": ONE})
    assert made(tmp_path, content) == alone


def test_several_disks_are_refused_unless_one_is_named(tmp_path: Path, vmdk: bytes, alone: BootableDisk) -> None:
    content = tar({"vm.ovf": TWO, "a.vmdk": b"KDMV", "b.vmdk": vmdk})
    assert "The archive contains 2 disks: 'a.vmdk', 'b.vmdk'; name one: `member: a.vmdk` in a spec" in refusal(tmp_path, content)
    assert made(tmp_path, content, "b.vmdk") == alone


def test_a_compressed_disk_in_an_ova_is_unpacked(tmp_path: Path, vmdk: bytes, alone: BootableDisk) -> None:
    descriptor = ovf("ovf:fileRef='f'", files=file("f", "d.vmdk.gz", "ovf:compression='gzip'"))
    assert made(tmp_path, tar({"x/vm.ovf": descriptor, "x/d.vmdk.gz": gzip.compress(vmdk)})) == alone


@pytest.mark.parametrize("kind", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("last", [False, True])
def test_manifest_digests_are_verified(tmp_path: Path, vmdk: bytes, kind: str, last: bool) -> None:
    def ova(of_disk: bytes, of_descriptor: bytes = ONE) -> bytes:
        sums = {"vm.ovf": of_descriptor, "vm-disk1.vmdk": of_disk}
        lines = "".join(f"{kind.upper()}({name})= {hashlib.new(kind, content).hexdigest()}\n" for name, content in sums.items())
        manifest, disk = {"vm.mf": lines.encode()}, {"vm-disk1.vmdk": vmdk}
        return tar({"vm.ovf": ONE, **(disk if last else manifest), **(manifest if last else disk)})

    assert made(tmp_path, ova(vmdk)).format == "qcow2"
    assert f"'vm-disk1.vmdk' is damaged or was changed: its {kind.upper()}" in refusal(tmp_path, ova(b"other"))
    assert f"'vm.ovf' is damaged or was changed: its {kind.upper()}" in refusal(tmp_path, ova(vmdk, b"other"))


@pytest.mark.parametrize(
    ("descriptor", "message"),
    [
        (ovf("ovf:fileRef='f'", files=file("f", "../../etc/shadow")), "'../../etc/shadow' as its disk, which is not a file"),
        (ovf("ovf:fileRef='f'", files=file("f", "http://198.18.0.1/d.vmdk")), "not a file in the same folder"),
        (ovf("ovf:fileRef='f'", files=file("f", "/dev/sda")), "not a file in the same folder"),
        (ovf("ovf:fileRef='f'", files=file("f", "d.vmdk", "ovf:chunkSize='512'")), "is split into chunks; join them"),
        (ovf("ovf:fileRef='g'", files=file("f", "d.vmdk")), "names a disk whose file it does not list"),
        (ovf("ovf:fileRef='f' ovf:parentRef='p'", files=file("f", "d.vmdk")), "a difference to another disk"),
        (
            ovf("ovf:fileRef='f'", files=file("f", "gone.vmdk")),
            "names 'gone.vmdk' as the disk, but the archive does not contain it",
        ),
        (b"<Envelope", "its OVF descriptor is damaged"),
        (b"<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><a>&c;</a>", "declares a document type"),
        (
            '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'.encode("utf-16"),
            "declares a doc",
        ),
    ],
    ids=["above", "URL", "absolute", "chunks", "no file", "difference", "absent", "damaged", "entities", "UTF-16"],
)
def test_a_descriptor_that_names_other_files_is_refused(tmp_path: Path, vmdk: bytes, descriptor: bytes, message: str) -> None:
    assert message.lower() in refusal(tmp_path, tar({"vm.ovf": descriptor, "d.vmdk": vmdk})).lower()


def test_without_disks_in_the_descriptor_the_disk_is_detected(tmp_path: Path, vmdk: bytes, alone: BootableDisk) -> None:
    descriptor = ovf("ovf:diskId='made later'")
    assert made(tmp_path, tar({"vm.ovf": descriptor, "d.vmdk": vmdk})) == alone
    large = b"<x>" + b" " * MAX_METADATA_BYTES + b"</x>"
    assert made(tmp_path, tar({"d.vmdk": vmdk, "vm.ovf": large})) == alone
    assert "contains 2 OVF descriptors" in refusal(tmp_path, tar({"a.ovf": descriptor, "b.ovf": descriptor, "d.vmdk": vmdk}))


def test_names_in_a_descriptor_may_be_percent_encoded() -> None:
    descriptor = ovf("ovf:fileRef='f'", files=file("f", "my%20disk.vmdk"))
    assert disk_files(descriptor, "folder/vm.ovf") == ("folder/my disk.vmdk",)
    assert manifest_digests(b"SHA256 (my disk.vmdk) = AB\r\nnonsense\n", "folder/vm.mf") == {
        "folder/my disk.vmdk": ("sha256", "ab")
    }


BOX = json.dumps({"provider": "libvirt", "format": "qcow2", "virtual_size": 1}).encode()


@every_pack
@pytest.mark.parametrize(
    ("metadata", "disk"),
    [
        (BOX, "box.img"),
        (json.dumps({"provider": "libvirt", "disks": [{"format": "qcow2"}]}).encode(), "box_1.img"),
        (json.dumps({"provider": "libvirt", "disks": [{"path": "root.img"}]}).encode(), "root.img"),
        (b'{"provider": "qemu"}', "box.img"),
        (b"[", "box.img"),
        (b"[]", "box.img"),
    ],
    ids=["one", "a list", "a list with a path", "another", "damaged", "something else"],
)
def test_the_metadata_of_a_box_selects_its_disk(tmp_path: Path, qcow2: bytes, pack: Pack, metadata: bytes, disk: str) -> None:
    content = pack(
        {f"./{disk}": qcow2, "./metadata.json": metadata, "./Vagrantfile": b"Vagrant.configure('2')", "./info.json": b"{}"}
    )
    assert made(tmp_path, content).blob.sha256 == hashlib.sha256(qcow2).hexdigest()


def test_a_box_with_several_disks_needs_a_member(tmp_path: Path, qcow2: bytes) -> None:
    metadata = json.dumps({"provider": "libvirt", "disks": [{"path": "a.img"}, {"path": "b.img"}]}).encode()
    content = tar({"metadata.json": metadata, "a.img": qcow2, "b.img": bootable()})
    assert "contains 2 disks: 'a.img', 'b.img'" in refusal(tmp_path, content)
    assert made(tmp_path, content, "./a.img").blob.sha256 == hashlib.sha256(qcow2).hexdigest()


def test_the_descriptor_of_a_virtualbox_box_selects_its_disk(tmp_path: Path, vmdk: bytes, alone: BootableDisk) -> None:
    descriptor = ovf("ovf:fileRef='f'", files=file("f", "box-disk001.vmdk"))
    content = gzip.compress(
        tar(
            {
                "./metadata.json": b'{"provider": "virtualbox"}',
                "./box.ovf": descriptor,
                "./box-disk001.vmdk": vmdk,
                "./other.vmdk": vmdk,
            }
        )
    )
    assert made(tmp_path, content) == alone


@every_pack
def test_companion_files_are_ignored(tmp_path: Path, qcow2: bytes, pack: Pack) -> None:
    beside = {
        "README.md": b"# A disk\n", "LICENSE": b"MIT\n", "SHA256SUMS": b"00  disk\n", "disk.qcow2.sha256": b"00\n",
        "__MACOSX/._disk.qcow2": b"\0\5\26\7", "._disk.qcow2": b"\0\5\26\7", ".DS_Store": b"\0\0\0\1Bud1", "note.bin": b"\1\2\3",
    }  # fmt: skip
    before, after = dict(list(beside.items())[:4]), dict(list(beside.items())[4:])
    content = pack({**before, "folder/disk.qcow2": qcow2, **after})
    assert made(tmp_path, content).blob.sha256 == hashlib.sha256(qcow2).hexdigest()


@every_pack
def test_a_disk_with_a_neutral_name_is_detected_by_its_bytes(tmp_path: Path, qcow2: bytes, pack: Pack) -> None:
    assert made(tmp_path, pack({"firmware.bin": bytes(100), "appliance": qcow2})).format == "qcow2"


def test_a_member_of_any_archive_can_be_named(tmp_path: Path, qcow2: bytes) -> None:
    files = {"a/b.img": bootable(), "a/c.img": qcow2, "other.zip": b"PK\3\4"}
    for pack in PACKS.values():
        assert made(tmp_path, pack(files), "a/c.img").blob.sha256 == hashlib.sha256(qcow2).hexdigest()
        assert "contains no file 'a/d.img' (did you mean 'a/" in refusal(tmp_path, pack(files), "a/d.img")
        assert "did you mean 'a/c.img'?" in refusal(tmp_path, pack(files), "c.img")
        assert "it contains 'a/b.img', 'a/c.img', 'other.zip'" in refusal(tmp_path, pack(files), "zzz")
    many = tar({f"{number}.dat": b"" for number in range(100)})
    assert "'7.dat' and 92 more" in refusal(tmp_path, many, "disk of mine")
    assert "the file is not an archive" in refusal(tmp_path, gzip.compress(qcow2), "a")
    assert "the file is not an archive" in refusal(tmp_path, qcow2, "a")


def test_other_members_do_not_matter_if_one_is_named(tmp_path: Path, qcow2: bytes) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        link = tarfile.TarInfo("latest.img")
        link.type, link.linkname = tarfile.SYMTYPE, "disk.img"
        archive.addfile(link)
        member = tarfile.TarInfo("disk.img")
        member.size = len(qcow2)
        archive.addfile(member, io.BytesIO(qcow2))
    assert "which is not a regular file" in refusal(tmp_path, target.getvalue())
    assert made(tmp_path, target.getvalue(), "disk.img").format == "qcow2"


def test_long_member_names_are_read(tmp_path: Path, qcow2: bytes) -> None:
    long = "folder/" * 30 + "dïsk.qcow2"
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        content = tar({long: qcow2, long.replace("dïsk", "other"): bootable()}, form)
        assert made(tmp_path, content, long).format == "qcow2"


def test_control_characters_in_names_are_escaped(tmp_path: Path) -> None:
    message = refusal(tmp_path, tar({"a b\x1b[31m\udcff.img": bootable(), "b.img": bootable()}, tarfile.GNU_FORMAT))
    assert message.isprintable()
    assert message.encode()
    assert '`member: "a b' in message


def test_memory_for_metadata_is_limited(tmp_path: Path, vmdk: bytes, alone: BootableDisk) -> None:
    """Manifests of 3 MiB each, of which two exceed the limit; and one that is a hole of 4 GiB."""
    large = b"SHA1(x)= 00\n" * 2**18
    assert made(tmp_path, tar({**{f"{number}.mf": large for number in range(20)}, "d.vmdk": vmdk})) == alone
    hole = tarfile.TarInfo("hole.ovf")
    hole.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(hole.tobuf(tarfile.GNU_FORMAT))
    header[386:410], header[483:495] = b"%011o\0" % 2**32 + b"%011o\0" % 0, b"%011o\0" % 2**32
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert made(tmp_path, bytes(header) + tar({"d.vmdk": vmdk})) == alone


def test_a_descriptor_alone_is_refused_with_advice(tmp_path: Path) -> None:
    assert "It is an OVF descriptor, a text that names the disk in the same folder" in refusal(tmp_path, ONE)


def test_a_member_from_the_spec_is_used_for_files_and_urls_and_locked(
    library: ImageLibrary, spec_directory: Path, server: FileServer, vmdk: bytes, alone: BootableDisk
) -> None:
    content = tar({"vm.ovf": TWO, "a.vmdk": bootable(3 * 2**20), "b.vmdk": vmdk})
    (spec_directory / "vm.ova").write_bytes(content)
    here = library.resolve(ImageModel(source="vm.ova", member="b.vmdk"), "here", spec_directory)
    assert (here.digest, here.origin) == (alone.blob.sha256, "vm.ova, member b.vmdk")
    server.content = content
    far = ImageModel(source=server.url("/vm.ova"), member="b.vmdk")
    assert library.lock(far, "far", spec_directory).entry.digest == alone.blob.sha256
    described = read_lock(spec_directory)["far"].described
    other = library.lock(far.model_copy(update={"member": "a.vmdk"}), "far", spec_directory).entry
    assert (other.digest != alone.blob.sha256, other.described != described) == (True, True)


def test_an_ova_is_unpacked_during_its_download(
    library: ImageLibrary, spec_directory: Path, server: FileServer, vmdk: bytes, alone: BootableDisk
) -> None:
    for files in ({"vm.ovf": ONE, "vm-disk1.vmdk": vmdk}, {"data.img": bootable(), "vm-disk1.vmdk": vmdk, "vm.ovf": ONE}):
        server.content = tar(files)
        entry = library.lock(ImageModel(source=server.url("/vm.ova")), "far", spec_directory, upgrade=True).entry
        assert entry.digest == alone.blob.sha256
