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


def test_a_gpt_with_an_efi_system_partition_alone_starts_by_uefi(make: Callable[..., Path]) -> None:
    boots = boot_support_of_file(make())
    assert (boots.default, boots.bios, boots.uefi, boots.nothing) == ("uefi", False, ("x86_64",), "")


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
def test_what_no_bios_starts_is_started_by_uefi(make: Callable[..., Path], table: str, code: bytes) -> None:
    assert boot_support_of_file(make(table, code)).default == "uefi"


@pytest.mark.parametrize(
    ("table", "code"),
    [(WITH_BIOS_BOOT, GRUB), (MBR, GRUB), ("label: gpt\nstart={at}, size={size}, type=U\n", b"\x90" * 440)],
    ids=["GRUB", "GRUB on MBR", "code of another kind"],
)
def test_what_both_start_is_started_by_a_bios_as_ever(make: Callable[..., Path], table: str, code: bytes) -> None:
    boots = boot_support_of_file(make(table, code))
    assert (boots.default, boots.bios, boots.uefi) == ("bios", True, ("x86_64",))


def test_an_isohybrid_starts_by_both(make: Callable[..., Path]) -> None:
    table = "label: dos\nstart=64, size=1024, type=0, bootable\nstart={at}, size={size}, type=ef\n"
    boots = boot_support_of_file(make(table, b"\x45\x52" + bytes(30) + b"isolinux"))
    assert (boots.bios, boots.uefi) == (True, ("x86_64",))


def test_a_copy_of_the_table_at_the_end_will_do(make: Callable[..., Path]) -> None:
    content = bytearray(make().read_bytes())
    content[512:1024] = bytes(512)
    assert boot_support(RandomAccessBytes(bytes(content))).uefi == ("x86_64",)


@pytest.mark.parametrize(
    ("name", "arch"), [("BOOTAA64.EFI", "aarch64"), ("bootia32.efi", "i686"), ("BOOTRISCV64.EFI", "riscv64")]
)
def test_the_architecture_is_told_by_the_loader(make: Callable[..., Path], name: str, arch: str) -> None:
    assert boot_support_of_file(make(path=f"EFI/BOOT/{name}")).uefi == (arch,)


def test_a_loader_that_only_its_own_installation_knows_is_named(make: Callable[..., Path]) -> None:
    boots = boot_support_of_file(make(path="EFI/a-long-vendor-name/systemd-bootx64.efi"))
    assert not boots.uefi
    assert boots.nothing == (
        "no boot code in its first sector and no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition, only "
        "\\EFI\\a-long-vendor-name\\systemd-bootx64.efi, where the firmware of a new node does not look"
    )


def test_a_loader_that_is_no_program_does_not_count(make: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"not a program")
    boots = boot_support_of_file(make(loader=tmp_path / "text"))
    assert (boots.default, boots.uefi, boots.partition) == ("bios", (), True)


@pytest.mark.parametrize(
    ("disk", "said"),
    [
        ({"path": None}, "no \\EFI\\BOOT\\BOOTX64.EFI on its EFI system partition"),
        ({"table": MBR.replace("ef", "83"), "path": None}, "no EFI system partition"),
        ({"table": "", "path": None}, "no EFI system partition"),
    ],
    ids=["empty", "no such partition", "a file system alone"],
)
def test_what_was_looked_for_is_said(make: Callable[..., Path], disk: dict[str, object], said: str) -> None:
    assert boot_support_of_file(make(**disk)).nothing == f"no boot code in its first sector and {said}"


def test_a_table_for_larger_sectors_is_none_for_a_node(make: Callable[..., Path]) -> None:
    content = bytearray(make().read_bytes())
    header, entries = content[512:1024], content[1024 : 1024 + 128 * 128]
    struct.pack_into("<Q", entries, 32, MIB // 4096)
    content[512 : 1024 + 128 * 128] = bytes(512 + 128 * 128)
    content[4096:4608], content[8192 : 8192 + 128 * 128] = header, entries
    content[-512:] = bytes(512)
    boots = boot_support(RandomAccessBytes(bytes(content)))
    assert boots.partition
    assert boots.nothing.endswith("a partition table for sectors of 4096 bytes, where the disks of nodes have 512")


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
def test_qcow2_files_of_every_kind_are_seen_through(make: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]) -> None:
    run("qemu-img", "convert", "-f", "raw", *options, make(), tmp_path / "disk.qcow2")
    assert boot_support_of_file(tmp_path / "disk.qcow2").uefi == ("x86_64",)


@pytest.mark.parametrize(("format_", "driver"), [("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx")])
def test_disks_of_other_formats_are_looked_into_once_converted(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path, format_: str, driver: str
) -> None:
    run("qemu-img", "convert", "-f", "raw", "-O", driver, make(), spec_directory / "disk")
    image = library.resolve(ImageModel(source="disk", format=format_), "own", spec_directory)
    assert (image.firmware, image.archs, image.unbootable) == ("uefi", ("x86_64",), "")


def test_the_spec_chooses_where_there_is_a_choice(make: Callable[..., Path], library: ImageLibrary, spec_directory: Path) -> None:
    both, alone = str(make(code=GRUB)), str(make())

    def firmware(source: str, asked: str | None) -> str:
        return library.resolve(ImageModel(source=source, firmware=asked), "own", spec_directory).firmware

    assert [firmware(both, asked) for asked in (None, "bios", "uefi")] == ["bios", "bios", "uefi"]
    assert [firmware(alone, asked) for asked in (None, "uefi")] == ["uefi", "uefi"]
    with pytest.raises(ImageError, match="says `firmware: bios`, and the disk has no boot code"):
        firmware(alone, "bios")
    with pytest.raises(ImageError, match="says `firmware: uefi`, and the disk has no EFI system partition"):
        firmware(str(make(MBR.replace("ef", "83"), GRUB, path=None)), "uefi")


def test_what_nothing_can_start_is_said_of_the_image(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path
) -> None:
    image = library.resolve(ImageModel(source=str(make(path=None))), "own", spec_directory)
    assert image.unbootable.startswith("no boot code in its first sector and no \\EFI")
    assert library.unbootable_reason(image) == ""


def test_a_blank_disk_is_known_as_such(library: ImageLibrary, spec_directory: Path, make_disk: Callable[..., Path]) -> None:
    image = library.resolve(ImageModel(source=str(make_disk("blank.qcow2"))), "own", spec_directory)
    assert (library.unbootable_reason(image), image.unbootable) == (
        "no boot code in its first sector and no EFI system partition",
        "",
    )


def test_the_lock_file_says_uefi_and_of_a_bios_nothing(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path
) -> None:
    for name, disk in (("new", make()), ("old", make(code=GRUB))):
        library.lock(ImageModel(source=str(disk)), name, spec_directory)
    text = (spec_directory / LOCK_FILE).read_text()
    assert text.count("firmware =") == 1
    assert {name: entry.firmware for name, entry in read_lock(spec_directory).items()} == {"new": "uefi", "old": "bios"}
    (spec_directory / LOCK_FILE).write_text(text.replace('"uefi"', '"coreboot"'))
    with pytest.raises(ImageError, match="firmware is 'coreboot'; it can be bios or uefi"):
        read_lock(spec_directory)


def test_a_disk_that_is_elsewhere_starts_as_the_lock_file_says(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path, tmp_path: Path, server
) -> None:
    server.content = make().read_bytes()
    model = ImageModel(source=server.url("/disk.raw"), format="raw")
    assert library.lock(model, "far", spec_directory).entry.firmware == "uefi"
    elsewhere = ImageLibrary(tmp_path / "another store", locked=True).resolve(model, "far", spec_directory)
    assert (elsewhere.firmware, elsewhere.archs) == ("uefi", ())


def test_a_kernel_of_its_own_leaves_the_disk_alone(
    make: Callable[..., Path], library: ImageLibrary, spec_directory: Path
) -> None:
    (spec_directory / "vmlinuz").write_bytes(b"kernel")
    image = library.resolve(ImageModel(source=str(make()), kernel="vmlinuz"), "own", spec_directory)
    assert (image.firmware, image.unbootable) == ("bios", "")


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_no_disk_is_too_strange_to_be_looked_at(small: bytes, data: st.DataObject) -> None:
    content = bytearray(small)
    for _ in range(data.draw(st.integers(1, 4))):
        at, junk = (
            data.draw(st.sampled_from((0, 446, 512, 1024, MIB, MIB + 11, MIB + 512, MIB + 4096))),
            data.draw(st.binary(max_size=64)),
        )
        content[at : at + len(junk)] = junk
    assert isinstance(boot_support(RandomAccessBytes(bytes(content))), BootSupport)


def test_a_directory_without_end_is_not_read_for_ever(make: Callable[..., Path]) -> None:
    """Its cluster chain is a circle, and its table of partitions claims four thousand millions of entries."""
    content = bytearray(make().read_bytes())
    struct.pack_into("<I", content, 512 + 80, 2**32 - 1)
    content[MIB + 512 : MIB + 2048] = b"\x02\x00" * 768
    assert isinstance(boot_support(RandomAccessBytes(bytes(content))), BootSupport)
