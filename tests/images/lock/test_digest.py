from hashlib import sha256

from pragmaspec.images.lock.digest import pin
from pragmaspec.resources import Blob

DISK, KERNEL, INITRD = (Blob(sha256=digit * 64, size_bytes=1) for digit in "abc")


def test_a_disk_with_a_boot_loader_is_pinned_by_its_own_digest() -> None:
    assert pin(DISK, None, None, "") == DISK.sha256


def test_with_a_kernel_the_pin_is_over_all_that_is_booted() -> None:
    text = f"pragmaspec image 1\ndisk {'a' * 64}\nkernel {'b' * 64}\ninitrd {'c' * 64}\ncmdline root=/dev/vda\n"
    assert pin(DISK, KERNEL, INITRD, "root=/dev/vda") == sha256(text.encode()).hexdigest()


def test_each_part_counts() -> None:
    pins = {
        pin(DISK, KERNEL, INITRD, "quiet"),
        pin(DISK, KERNEL, INITRD, ""),
        pin(DISK, KERNEL, None, "quiet"),
        pin(DISK, INITRD, KERNEL, "quiet"),
        pin(KERNEL, KERNEL, INITRD, "quiet"),
    }
    assert len(pins) == 5
