"""Volumes of others as images: with the test driver, and with real files."""

import subprocess
from pathlib import Path

import libvirt
import pytest

from pragmaspec.errors import SiteError
from pragmaspec.planning.images.site_images import wanted_site_image
from pragmaspec.planning.observed import SiteImage
from pragmaspec.providers.base import StageRequest
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import StagedImage, image_fields
from tests.providers.conftest import Subject

POOL = "default-pool"
SECTOR = 512


def add_volume(handle: libvirt.virConnect, pool: str, name: str, kind: str = "raw", size: int = 2**20) -> libvirt.virStorageVol:
    document = f"<volume><name>{name}</name><capacity>{size}</capacity><target><format type='{kind}'/></target></volume>"
    return handle.storagePoolLookupByName(pool).createXML(document, 0)


def staged(subject: Subject, image: SiteImage) -> StagedImage:
    wanted = wanted_site_image("own", subject.site.name, subject.provider.identity().id, image, None)
    return StagedImage(
        site=subject.site.name,
        digest=wanted.digest,
        name="own",
        site_image=image.id,
        site_name=image.name,
        **image_fields(wanted),
    )


def stage(subject: Subject, image: StagedImage) -> None:
    def files() -> None:
        raise AssertionError("nothing may be read on this machine")

    subject.provider.stage(StageRequest(image, subject.mark(image), files))


def test_a_volume_is_found_by_its_name(fake_stack: Subject, virsh: libvirt.virConnect) -> None:
    add_volume(virsh, POOL, "ubuntu")
    found = fake_stack.provider.resolve_image("ubuntu")
    assert (found.name, found.virtual_size_bytes, found.copy_bytes, found.format) == ("ubuntu", 2**20, 2**20, "raw")
    assert fake_stack.provider.find_image(found.id) == found
    assert fake_stack.provider.find_image(f"{found.id}1") is None
    assert fake_stack.provider.find_image("absent:1:2") is None


def test_an_unknown_volume_is_refused_with_the_names_of_others(fake_stack: Subject, virsh: libvirt.virConnect) -> None:
    add_volume(virsh, POOL, "ubuntu")
    fake_stack.prepare()
    with pytest.raises(SiteError) as caught:
        fake_stack.provider.resolve_image("ubunut")
    assert caught.value.problems[0].detail.endswith("has no image ubunut. Did you mean ubuntu? It has ubuntu.")


def test_a_volume_is_copied_once_and_the_copy_removed_with_its_last_user(fake_stack: Subject, virsh: libvirt.virConnect) -> None:
    add_volume(virsh, POOL, "ubuntu")
    image = staged(fake_stack, fake_stack.provider.resolve_image("ubuntu"))
    stage(fake_stack, image)
    stage(fake_stack, image)
    assert fake_stack.observed().images == (image.digest,)
    assert fake_stack.provider.inventory().images == (image.digest,)
    fake_stack.provider.clean(image, fake_stack.mark(image))
    assert virsh.storagePoolLookupByName(POOL).listVolumes() == ["ubuntu"]


def test_a_volume_that_is_gone_cannot_be_staged(fake_stack: Subject, virsh: libvirt.virConnect) -> None:
    volume = add_volume(virsh, POOL, "ubuntu")
    image = staged(fake_stack, fake_stack.provider.resolve_image("ubuntu"))
    volume.delete(0)
    with pytest.raises(SiteError, match="The image is not at the site"):
        stage(fake_stack, image)
    fake_stack.provider.clean(image, fake_stack.mark(image))


@pytest.fixture
def pool_directory(real_stack: Subject, real_virsh: libvirt.virConnect) -> Path:
    pool = real_virsh.storagePoolLookupByName(real_stack.site.pool)
    return Path(parse(pool.XMLDesc(0)).findtext("target/path", ""))


def boot_disk(file: Path, kind: str = "qcow2") -> None:
    """Write a disk with boot code in its first sector and some data, as ``kind``."""
    raw = bytearray(4 * 2**20)
    raw[:4], raw[SECTOR - 2 : SECTOR] = b"\xfa\x31\xc0\x8e", b"\x55\xaa"
    raw[2**20 : 2**20 + 6] = b"marker"
    plain = file.with_suffix(".tmp")
    plain.write_bytes(raw)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, str(plain), str(file)], check=True)
    plain.unlink()


@pytest.mark.hypervisor
@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_a_file_of_the_pool_is_inspected_and_copied_by_the_daemon(
    real_stack: Subject, real_virsh: libvirt.virConnect, pool_directory: Path, kind: str
) -> None:
    file = pool_directory / "own-disk"
    boot_disk(file, kind)
    before = file.read_bytes()
    try:
        found = real_stack.provider.resolve_image("own-disk")
        assert (found.virtual_size_bytes, found.firmware, len(found.created)) == (4 * 2**20, "bios", 10)
        image = staged(real_stack, found)
        stage(real_stack, image)
        copy = pool_directory / f"pragmaspec-{image.digest[:16]}-disk.raw"
        assert copy.read_bytes()[2**20 : 2**20 + 6] == b"marker"
        assert file.read_bytes() == before
        file.write_bytes(before)  # of the same size, but newer
        assert real_stack.provider.find_image(image.site_image) is None
        stage(real_stack, image)  # its copy is complete
        real_stack.provider.clean(image, real_stack.mark(image))
        assert not copy.exists()
        with pytest.raises(SiteError, match="removed or written to"):
            stage(real_stack, image)
        real_stack.provider.clean(image, real_stack.mark(image))
    finally:
        file.unlink()
        real_virsh.storagePoolLookupByName(real_stack.site.pool).refresh(0)


@pytest.mark.hypervisor
def test_a_volume_that_cannot_boot_is_refused_with_the_reason(
    real_stack: Subject, real_virsh: libvirt.virConnect, pool_directory: Path
) -> None:
    base, overlay, text = pool_directory / "own-base", pool_directory / "own-overlay", pool_directory / "own-text"
    boot_disk(base, "raw")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(overlay)], check=True)
    text.write_text("not a disk\n" * 100)
    try:
        for name, reason in (("own-overlay", "backing file"), ("own-text", "is a text, not a disk image")):
            with pytest.raises(SiteError) as caught:
                real_stack.provider.resolve_image(name)
            assert reason in str(caught.value), caught.value
    finally:
        for file in (base, overlay, text):
            file.unlink()
        real_virsh.storagePoolLookupByName(real_stack.site.pool).refresh(0)
