from hashlib import sha256

from pragmaspec.images.lock.digest import image_digest
from pragmaspec.resources import Blob

DISK, KERNEL, INITRD = (Blob(sha256=digit * 64, size_bytes=1) for digit in "abc")


def test_a_disk_with_a_boot_loader_is_pinned_by_its_own_digest() -> None:
    assert image_digest(DISK, None, None, "") == DISK.sha256


def test_with_a_kernel_the_pin_is_over_all_that_is_booted() -> None:
    text = f"pragmaspec image 1\ndisk {'a' * 64}\nkernel {'b' * 64}\ninitrd {'c' * 64}\ncmdline root=/dev/vda\n"
    assert image_digest(DISK, KERNEL, INITRD, "root=/dev/vda") == sha256(text.encode()).hexdigest()


def test_each_part_counts() -> None:
    pins = {
        image_digest(DISK, KERNEL, INITRD, "quiet"),
        image_digest(DISK, KERNEL, INITRD, ""),
        image_digest(DISK, KERNEL, None, "quiet"),
        image_digest(DISK, INITRD, KERNEL, "quiet"),
        image_digest(KERNEL, KERNEL, INITRD, "quiet"),
    }
    assert len(pins) == 5
