"""The one digest that stands for everything a node boots from."""

from hashlib import sha256

from pragmaspec.resources import Blob


def image_digest(disk: Blob, kernel: Blob | None, initrd: Blob | None, cmdline: str) -> str:
    """The digest of an image, 64 lower-case hexadecimal digits.

    The disk's own SHA-256 when the disk has a boot loader. With a kernel, the SHA-256 of these lines of ASCII, each ended by a
    newline: ``pragmaspec image 1``, ``disk <sha256>``, ``kernel <sha256>``, ``initrd <sha256>`` or ``initrd -``, and
    ``cmdline <text>``.
    """
    if kernel is None:
        return disk.sha256
    lines = (
        "pragmaspec image 1",
        f"disk {disk.sha256}",
        f"kernel {kernel.sha256}",
        f"initrd {initrd.sha256 if initrd else '-'}",
        f"cmdline {cmdline}",
    )
    return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
