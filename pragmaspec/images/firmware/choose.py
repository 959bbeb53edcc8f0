"""The choice of an image's firmware, from the spec and the disk."""

from pathlib import Path

from msgspec.structs import replace

from pragmaspec.errors import ImageError
from pragmaspec.images.context import VerifiedImage
from pragmaspec.images.firmware.detect import BootSupport, boot_support_of_file
from pragmaspec.planning.wanted import Firmware


def with_detected_firmware(found: VerifiedImage, disk: Path | None) -> tuple[VerifiedImage, BootSupport | None]:
    """``found`` with the firmware that can start its disk, and how that can start.

    ``disk``: its file; None when it is not on this machine. Nothing is known then, nor where a kernel starts it. The firmware of
    ``found``, which may be the lock file's, stays if it works.
    """
    if disk is None or found.kernel:
        return found, None
    boots = boot_support_of_file(disk)
    works = boots.bios if found.firmware == "bios" else bool(boots.uefi)
    return (found if works else replace(found, firmware=boots.default)), boots


def choose_firmware(asked: Firmware | None, found: VerifiedImage, boots: BootSupport | None) -> Firmware:
    """The firmware of an image: as the spec asks, else as its disk allows. Raises ImageError if the disk lacks what is asked."""
    if asked is None or asked == found.firmware:
        return found.firmware
    why = boots.missing_for(asked) if boots else ""
    if why:
        other = "bios" if asked == "uefi" else "uefi"
        detail = (
            f"The spec says `firmware: {asked}`, and the disk has {why}. Leave `firmware` out, write `firmware: {other}`, or use "
            "another image."
        )
        raise ImageError("Image has nothing for its firmware", detail)
    return asked
