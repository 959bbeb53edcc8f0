"""Checks that images can be put at their site and boot there: kinds of images, firmware and architecture. Pure."""

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from pragmaspec.errors import Problem
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.observed import Inventory, Refused
from pragmaspec.planning.plan import Action
from pragmaspec.planning.wanted import Wanted, WantedImage
from pragmaspec.resources import Node
from pragmaspec.site import LibvirtSite, SimulatedSite, Site
from pragmaspec.state_model import State

FIRMWARE_PACKAGES = {
    "x86_64": "ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora, Rocky)",
    "i686": "ovmf-ia32 (Debian, Ubuntu) or edk2-ovmf-ia32 (Fedora)",
    "aarch64": "qemu-efi-aarch64 (Debian, Ubuntu) or edk2-aarch64 (Fedora, Rocky)",
}
"""Packages with UEFI firmware for QEMU, by architecture."""


def firmware_problems(
    site: Site, inventory: Inventory | None, here: Iterable[Desired], images: Iterable[WantedImage], state: State
) -> Iterator[Problem]:
    """Return one problem per image that nodes boot from and that cannot boot at ``site``.

    ``inventory``: None if the site was not asked; its firmware and architecture are then assumed to fit.
    """
    known = {(image.digest, image.firmware): image for image in images}
    problems = {key: tuple(_site_problems(image, site, inventory)) for key, image in known.items()}
    if not any(problems.values()):
        return
    for entry in here:
        node = entry.resource
        if isinstance(node, Node) and problems.get((node.image, node.firmware)) and _starts(node, state):
            yield from problems.pop((node.image, node.firmware))


def unbootable_image_warnings(
    actions: Iterable[Action], wanted: Wanted, why: Callable[[WantedImage], str]
) -> tuple[Problem, ...]:
    """Return one warning per unbootable image from which ``actions`` boot nodes at real sites.

    ``why`` returns what an image lacks, empty if nothing; it is called only for images that nodes boot from.
    """
    real = {site.name for site in wanted.sites if not isinstance(site, SimulatedSite)}
    nodes = [action.resource for action in actions if action.verb == "boot" and action.resource.site in real]
    booted = {(node.image, node.firmware) for node in nodes if isinstance(node, Node)}
    found = ((image, why(image)) for image in wanted.images if (image.digest, image.firmware) in booted)
    return tuple(replace(_unbootable(image, lacking), severity="warning") for image, lacking in found if lacking)


def _unbootable(image: WantedImage, lacking: str) -> Problem:
    return Problem(
        summary="Unbootable image",
        detail=f"Image {image.name} has {lacking}. BIOS needs boot code in the first sector, UEFI needs "
        "\\EFI\\BOOT\\BOOTX64.EFI on a FAT file system. Use another image, or give this one a `kernel`.",
        where=image.where,
    )


def _starts(node: Node, state: State) -> bool:
    """True if ``node`` should run and is not recorded as running with this image and firmware."""
    record = state.record(node.address)
    before = record.resource if record else None
    if not node.running or record is None or not isinstance(before, Node) or record.status != "ready":
        return node.running
    return not before.running or (before.image, before.firmware) != (node.image, node.firmware)


def _site_problems(image: WantedImage, site: Site, inventory: Inventory | None) -> Iterator[Problem]:
    if image.unbootable:
        yield _unbootable(image, image.unbootable)
    elif inventory is not None and image.archs and inventory.identity.arch not in image.archs:
        yield Problem(
            summary="Image for another architecture",
            detail=f"Image {image.name} boots only on {' or '.join(image.archs)}, and site {site.name} has "
            f"{inventory.identity.arch}. Use the image's variant for that architecture.",
            where=image.where,
        )
    elif inventory is not None and (refusal := _refusal(image, inventory)):
        yield _refused(image, site, *refusal)
    elif image.firmware == "uefi" and inventory is not None and "uefi" not in (inventory.firmware or ("uefi",)):
        yield Problem(
            summary="The site has no UEFI firmware",
            detail=f"Image {image.name} boots with UEFI, and site {site.name} has no UEFI firmware"
            f"{_firmware_remedy(site, inventory)}",
            where=image.where,
        )


def _refusal(image: WantedImage, inventory: Inventory) -> tuple[Refused, str] | None:
    """Return the kind and the reason for which the image cannot be put at the site; None: it can, or is there."""
    if image.site_image:
        return None
    is_there = image.digest in inventory.images
    kinds = {"upload": not is_there, "kernel": image.kernel is not None, "uefi": image.firmware == "uefi"}
    return next((each for each in inventory.refused if kinds[each[0]]), None)


def _refused(image: WantedImage, site: Site, kind: Refused, reason: str) -> Problem:
    described = {"upload": "", "kernel": ", which has a kernel beside its disk,", "uefi": ", which boots with UEFI,"}[kind]
    return Problem(
        summary="The site cannot take an image",
        detail=f"Image {image.name}{described} cannot be put at site {site.name}, {reason}. Name an image of the site instead: "
        f"`at: {{{site.name}: NAME}}`.",
        where=image.where,
    )


def _firmware_remedy(site: Site, inventory: Inventory) -> str:
    """Return the end of the sentence about missing firmware, with the packages if the site is a host of libvirt."""
    arch = inventory.identity.arch
    if not isinstance(site, LibvirtSite):
        return ". Use an image that boots with BIOS, or another site."
    packages = FIRMWARE_PACKAGES.get(arch, "the UEFI firmware of QEMU")
    return f" for {arch}. Install it on the host: {packages}. Then restart its libvirt daemon."
