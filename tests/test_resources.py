from hashlib import sha256

from pragmaspec.resources import Blob, BootImage, Mark

DISK, KERNEL, INITRD = (Blob(sha256=digit * 64, size_bytes=1) for digit in "abc")


def digest(disk: Blob, kernel: Blob | None, initrd: Blob | None, cmdline: str) -> str:
    return BootImage(format="raw", virtual_size_bytes=1, disk=disk, kernel=kernel, initrd=initrd, cmdline=cmdline).digest


def test_without_a_kernel_the_digest_is_that_of_the_disk() -> None:
    assert digest(DISK, None, None, "") == DISK.sha256


def test_with_a_kernel_the_digest_covers_all_boot_files_and_the_command_line() -> None:
    text = f"pragmaspec image 1\ndisk {'a' * 64}\nkernel {'b' * 64}\ninitrd {'c' * 64}\ncmdline root=/dev/vda\n"
    assert digest(DISK, KERNEL, INITRD, "root=/dev/vda") == sha256(text.encode()).hexdigest()


def test_each_part_changes_the_digest() -> None:
    digests = {
        digest(DISK, KERNEL, INITRD, "quiet"),
        digest(DISK, KERNEL, INITRD, ""),
        digest(DISK, KERNEL, None, "quiet"),
        digest(DISK, INITRD, KERNEL, "quiet"),
        digest(KERNEL, KERNEL, INITRD, "quiet"),
    }
    assert len(digests) == 5


def test_the_owner_of_a_mark_names_its_address_and_stack() -> None:
    assert Mark(lineage="3f9a1c2b-0000-4000-8000-000000000000", address="lab/hello/allocation").owner == (
        "lab/hello/allocation of stack 3f9a1c2b"
    )
