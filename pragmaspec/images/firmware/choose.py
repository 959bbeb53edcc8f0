"""Choose the firmware of an image from the spec and from what its disk supports."""

from pathlib import Path

from msgspec.structs import replace

from pragmaspec.errors import ImageError
from pragmaspec.images.context import VerifiedImage
from pragmaspec.images.firmware.detect import BootSupport, boot_support_of_file
from pragmaspec.planning.wanted import Firmware


def with_detected_firmware(image: VerifiedImage, disk: Path | None) -> tuple[VerifiedImage, BootSupport | None]:
    """Return the image with the firmware that can boot its disk, and what the disk supports.

    ``disk``: its file; None if it is not on this machine. Then nothing is detected, nor for an image with a kernel. The firmware
    of ``image``, which may be from the lock file, stays if the disk supports it.
    """
    if disk is None or image.kernel:
        return image, None
    support = boot_support_of_file(disk)
    works = support.bios if image.firmware == "bios" else bool(support.uefi)
    return (image if works else replace(image, firmware=support.default)), support


def choose_firmware(asked: Firmware | None, image: VerifiedImage, support: BootSupport | None) -> Firmware:
    """Return the firmware that the spec asks for, else the image's. Raises ImageError if the disk does not support it."""
    if asked is None or asked == image.firmware:
        return image.firmware
    missing = support.missing_for(asked) if support else ""
    if missing:
        other = "bios" if asked == "uefi" else "uefi"
        detail = (
            f"The spec has `firmware: {asked}`, but the disk has {missing}. Remove `firmware`, write `firmware: {other}`, or use "
            "another image."
        )
        raise ImageError("Image does not support its firmware", detail)
    return asked
