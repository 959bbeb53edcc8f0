"""How disks can start: by boot code, by a loader for UEFI, by both, by neither; in every shape and format."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pragmaspec.errors import ImageError
from pragmaspec.images.firmware.detect import BootSupport, boot_support, boot_support_of_file
from pragmaspec.images.formats.random_access import RandomAccessBytes
from pragmaspec.images.library import ImageLibrary
from pragmaspec.images.lock.lock_file import LOCK_FILE, read_lock
from pragmaspec.spec.models.image import ImageModel
from tests.guest_images.bootable import MBR_CODE, run
from tests.guest_images.uefi import write_esp

MIB = 2**20
SECTORS = 8192
"""Of an EFI system partition that a test makes: 4 MiB."""
GRUB = b"\xeb\x63\x90" + bytes(77) + b"GRUB "
PARTED = bytes.fromhex("fab800108ed0bc00b0b800008ed88ec0")
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
STANDARD = "EFI/BOOT/BOOTX64.EFI"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("loader") / "loader.efi"
    file.write_bytes(b"MZ" + bytes(3000))
    return file


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Callable[..., Path]:
    """``make(table, code, path)``: a disk of 8 MiB whose first partition is FAT with a loader at ``path``, None for no files."""

    def made(table: str = "label: gpt\nstart={at}, size={size}, type=U\n", code: bytes = b"", path: str | None = STANDARD,
             loader: Path | None = None) -> Path:  # fmt: skip
        directory = tmp_path_factory.mktemp("disk")
        disk, esp = directory / "disk.raw", directory / "esp"
        with disk.open("wb") as file:
            file.truncate(8 * MIB)
        write_esp(esp, (loader or program) if path else None, path or "", SECTORS)
        if table:
            run("sfdisk", "-q", disk, text=table.format(at=MIB // 512, size=SECTORS))
        with disk.open("r+b") as file:
            file.seek(MIB if table else 0)
            file.write(esp.read_bytes())
            if code:
                file.seek(0)
                file.write(code)
        return disk

    return made


@pytest.fixture(scope="session")
def small(make: Callable[..., Path]) -> bytes:
    return make().read_bytes()


def test_a_gpt_disk_with_only_an_efi_system_partition_boots_by_uefi(make: Callable[..., Path]) -> None:
    boots = boot_support_of_file(make())
    assert (boots.default, boots.bios, boots.uefi, boots.unbootable) == ("uefi", False, ("x86_64",), "")


MBR = "label: dos\nstart={at}, size={size}, type=ef\n"
ACTIVE = "label: dos\nstart={at}, size={size}, type=ef, bootable\n"
LOGICAL = "label: dos\nstart=1024, size=14000, type=f\nstart={at}, size={size}, type=ef\n"
BASIC_DATA = "label: gpt\nstart={at}, size={size}, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n"
WITH_BIOS_BOOT = f"label: gpt\nstart={{at}}, size={{size}}, type=U\nsize=1024, type={BIOS_BOOT}\n"


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (MBR, b""),
        (LOGICAL, b""),
        ("", b""),
        (BASIC_DATA, b""),
        (WITH_BIOS_BOOT, b""),
        (MBR, PARTED),
        ("label: gpt\nstart={at}, size={size}, type=U\n", MBR_CODE.read_bytes()),
        (ACTIVE, MBR_CODE.read_bytes()),
    ],
    ids=["MBR", "logical", "no table", "basic data", "BIOS partition, no code", "parted's code", "Windows' way", "active, empty"],
)
def test_a_disk_without_working_boot_code_boots_by_uefi(make: Callable[..., Path], table: str, code: bytes) -> None:
    assert boot_support_of_file(make(table, code)).default == "uefi"


@pytest.mark.parametrize(
    ("table", "code"),
    [(WITH_BIOS_BOOT, GRUB), (MBR, GRUB), ("label: gpt\nstart={at}, size={size}, type=U\n", b"\x90" * 440)],
    ids=["GRUB", "GRUB on MBR", "code of another kind"],
)
def test_a_disk_that_both_can_boot_boots_by_bios(make: Callable[..., Path], table: str, code: bytes) -> None:
    boots = boot_support_of_file(make(table, code))
    assert (boots.default, boots.bios, boots.uefi) == ("bios", True, ("x86_64",))


def test_an_isohybrid_boots_by_both(make: Callable[..., Path]) -> None:
    table = "label: dos\nstart=64, size=1024, type=0, bootable\nstart={at}, size={size}, type=ef\n"
    boots = boot_support_of_file(make(table, b"\x45\x52" + bytes(30) + b"isolinux"))
    assert (boots.bios, boots.uefi) == (True, ("x86_64",))


def test_the_backup_gpt_is_used_if_the_primary_is_missing(make: Callable[..., Path]) -> None:
    content = bytearray(make().read_bytes())
    content[512:1024] = bytes(512)
    assert boot_support(RandomAccessBytes(bytes(content))).uefi == ("x86_64",)


@pytest.mark.parametrize(
    ("name", "arch"), [("BOOTAA64.EFI", "aarch64"), ("bootia32.efi", "i686"), ("BOOTRISCV64.EFI", "riscv64")]
)
def test_the_loader_name_determines_the_architecture(make: Callable[..., Path], name: str, arch: str) -> None:
    assert boot_support_of_file(make(path=f"EFI/BOOT/{name}")).uefi == (arch,)


def test_a_loader_at_another_location_is_reported(make: Callable[..., Path]) -> None:
    boots = boot_support_of_file(make(path="EFI/a-long-vendor-name/systemd-bootx64.efi"))
    assert not boots.uefi
    assert boots.unbootable == (
        "no boot code in its first sector and no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition, only "
        "\\EFI\\a-long-vendor-name\\systemd-bootx64.efi, which the firmware of a new node does not find"
    )


def test_a_loader_must_be_a_program(make: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"not a program")
    boots = boot_support_of_file(make(loader=tmp_path / "text"))
    assert (boots.default, boots.uefi, boots.has_esp) == ("bios", (), True)


@pytest.mark.parametrize(
    ("disk", "said"),
    [
        ({"path": None}, "no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition"),
        ({"table": MBR.replace("ef", "83"), "path": None}, "no EFI system partition"),
        ({"table": "", "path": None}, "no EFI system partition"),
    ],
    ids=["empty", "no such partition", "a file system alone"],
)
def test_missing_boot_files_are_reported(make: Callable[..., Path], disk: dict[str, object], said: str) -> None:
    assert boot_support_of_file(make(**disk)).unbootable == f"no boot code in its first sector and {said}"


def test_a_partition_table_for_larger_sectors_cannot_boot(make: Callable[..., Path]) -> None:
    content = bytearray(make().read_bytes())
    header, entries = content[512:1024], content[1024 : 1024 + 128 * 128]
    struct.pack_into("<Q", entries, 32, MIB // 4096)
    content[512 : 1024 + 128 * 128] = bytes(512 + 128 * 128)
    content[4096:4608], content[8192 : 8192 + 128 * 128] = header, entries
    content[-512:] = bytes(512)
    boots = boot_support(RandomAccessBytes(bytes(content)))
    assert boots.has_esp
    assert boots.unbootable.endswith("a partition table for sectors of 4096 bytes, but the disks of nodes have 512")


@pytest.mark.parametrize(
    "options",
    [
        ("-O", "qcow2"),
        ("-O", "qcow2", "-o", "compat=0.10"),
        ("-O", "qcow2", "-o", "cluster_size=512"),
        ("-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k"),
        ("-O", "qcow2", "-c"),
        ("-O", "qcow2", "-c", "-o", "compression_type=zstd"),
        ("-O", "qcow2", "-c", "-o", "cluster_size=2M"),
    ],
    ids=" ".join,
)
def test_boot_files_are_found_in_any_qcow2(make: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]) -> None:
    run("qemu-img", "convert", "-f", "raw", *options, make(), tmp_path / "disk.qcow2")
    assert boot_support_of_file(tmp_path / "disk.qcow2").uefi == ("x86_64",)


@pytest.mark.parametrize(("format_", "driver"), [("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx")])
def test_boot_files_are_found_in_converted_disks(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path, format_: str, driver: str
) -> None:
    run("qemu-img", "convert", "-f", "raw", "-O", driver, make(), spec_directory / "disk")
    image = library.resolve(ImageModel(source="disk", format=format_), "own", spec_directory)
    assert (image.firmware, image.archs, image.unbootable) == ("uefi", ("x86_64",), "")


def test_the_spec_chooses_the_firmware(make: Callable[..., Path], library: ImageLibrary, spec_directory: Path) -> None:
    both, alone = str(make(code=GRUB)), str(make())

    def firmware(source: str, asked: str | None) -> str:
        return library.resolve(ImageModel(source=source, firmware=asked), "own", spec_directory).firmware

    assert [firmware(both, asked) for asked in (None, "bios", "uefi")] == ["bios", "bios", "uefi"]
    assert [firmware(alone, asked) for asked in (None, "uefi")] == ["uefi", "uefi"]
    with pytest.raises(ImageError, match="has `firmware: bios`, but the disk has no boot code"):
        firmware(alone, "bios")
    with pytest.raises(ImageError, match="has `firmware: uefi`, but the disk has no EFI system partition"):
        firmware(str(make(MBR.replace("ef", "83"), GRUB, path=None)), "uefi")


def test_an_unbootable_image_has_a_reason(make: Callable[..., Path], library: ImageLibrary, spec_directory: Path) -> None:
    image = library.resolve(ImageModel(source=str(make(path=None))), "own", spec_directory)
    assert image.unbootable.startswith("no boot code in its first sector and no \\EFI")
    assert library.unbootable_reason(image) == ""


def test_a_blank_disk_is_detected(library: ImageLibrary, spec_directory: Path, make_disk: Callable[..., Path]) -> None:
    image = library.resolve(ImageModel(source=str(make_disk("blank.qcow2"))), "own", spec_directory)
    assert (library.unbootable_reason(image), image.unbootable) == (
        "no boot code in its first sector and no EFI system partition",
        "",
    )


def test_the_lock_file_records_uefi_and_omits_bios(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path
) -> None:
    for name, disk in (("new", make()), ("old", make(code=GRUB))):
        library.lock(ImageModel(source=str(disk)), name, spec_directory)
    text = (spec_directory / LOCK_FILE).read_text()
    assert text.count("firmware =") == 1
    assert {name: entry.firmware for name, entry in read_lock(spec_directory).items()} == {"new": "uefi", "old": "bios"}
    (spec_directory / LOCK_FILE).write_text(text.replace('"uefi"', '"coreboot"'))
    with pytest.raises(ImageError, match="firmware is 'coreboot'; it must be bios or uefi"):
        read_lock(spec_directory)


def test_the_lock_file_has_the_firmware_of_a_disk_that_is_not_here(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path, tmp_path: Path, server
) -> None:
    server.content = make().read_bytes()
    model = ImageModel(source=server.url("/disk.raw"), format="raw")
    assert library.lock(model, "far", spec_directory).entry.firmware == "uefi"
    elsewhere = ImageLibrary(tmp_path / "another store", locked=True).resolve(model, "far", spec_directory)
    assert (elsewhere.firmware, elsewhere.archs) == ("uefi", ())


def test_a_disk_with_a_kernel_is_not_examined(make: Callable[..., Path], library: ImageLibrary, spec_directory: Path) -> None:
    (spec_directory / "vmlinuz").write_bytes(b"kernel")
    image = library.resolve(ImageModel(source=str(make()), kernel="vmlinuz"), "own", spec_directory)
    assert (image.firmware, image.unbootable) == ("bios", "")


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_any_bytes_can_be_examined(small: bytes, data: st.DataObject) -> None:
    content = bytearray(small)
    for _ in range(data.draw(st.integers(1, 4))):
        at, junk = (
            data.draw(st.sampled_from((0, 446, 512, 1024, MIB, MIB + 11, MIB + 512, MIB + 4096))),
            data.draw(st.binary(max_size=64)),
        )
        content[at : at + len(junk)] = junk
    assert isinstance(boot_support(RandomAccessBytes(bytes(content))), BootSupport)


def test_an_endless_directory_is_not_read_forever(make: Callable[..., Path]) -> None:
    """Its cluster chain is a circle, and its table of partitions claims four thousand millions of entries."""
    content = bytearray(make().read_bytes())
    struct.pack_into("<I", content, 512 + 80, 2**32 - 1)
    content[MIB + 512 : MIB + 2048] = b"\x02\x00" * 768
    assert isinstance(boot_support(RandomAccessBytes(bytes(content))), BootSupport)
