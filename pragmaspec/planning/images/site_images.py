"""Images that live at a site: the choice by name, the digest, and the check that a pinned one is still there. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from pragmaspec.errors import Problem, SiteError, Where
from pragmaspec.planning.actions import ALREADY_STAGED
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.observed import SiteImage
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import Firmware, Wanted, WantedImage
from pragmaspec.resources import Blob, Node, StagedImage
from pragmaspec.spec.quantity import format_size
from pragmaspec.state_model import State
from pragmaspec.text import did_you_mean, few

MIB = 2**20
_SHA256 = "sha256:"
_MAX_NAMES = 8


def choose_site_image(name: str, images: Sequence[SiteImage], site: str) -> SiteImage:
    """Return the image with the name or the id ``name``. ``images``: all of ``site`` that can be used.

    Raises SiteError if there is none, or several with this name.
    """
    same_id = [image for image in images if image.id == name]
    named = same_id or [image for image in images if image.name == name]
    if len(named) == 1:
        return named[0]
    if named:
        newest_first = sorted(named, key=lambda image: (image.created, image.id), reverse=True)
        candidates = few([f"{image.id} ({image.created or 'no date'})" for image in newest_first], _MAX_NAMES)
        detail = f"Site {site} has {len(named)} images called {name}: {candidates}. Write the id of one of them instead."
        raise SiteError("Ambiguous image name", detail)
    known = sorted({image.name for image in images})
    near = did_you_mean(name, known)
    others = f"It has {few(known, _MAX_NAMES)}." if known else "It has none that can be used."
    raise SiteError("No such image at the site", " ".join(filter(None, (f"Site {site} has no image {name}.", near, others))))


def site_image_digest(site_id: str, image: SiteImage) -> str:
    """Return the digest of ``image``: the SHA-256 of its disk if the site reports one.

    Otherwise the SHA-256 of these lines, each terminated by a newline: ``pragmaspec site image 1``, ``site <id>``, ``id <id>``.
    """
    if image.checksum.startswith(_SHA256):
        return image.checksum.removeprefix(_SHA256)
    lines = ("pragmaspec site image 1", f"site {site_id}", f"id {image.id}")
    return sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def wanted_site_image(name: str, site: str, site_id: str, image: SiteImage, firmware: Firmware | None) -> WantedImage:
    """Return ``image`` of ``site`` as the image ``name`` of a spec. ``firmware``: as in the spec; None: the image's."""
    digest = site_image_digest(site_id, image)
    return WantedImage(
        name=name,
        origin=f"{image.name} at site {site}",
        digest=digest,
        format=image.format,
        virtual_size_bytes=image.virtual_size_bytes,
        disk=Blob(sha256=digest, size_bytes=image.copy_bytes),
        firmware=firmware or image.firmware or "bios",
        site=site,
        site_image=image.id,
        site_name=image.name,
        checksum=image.checksum,
        min_memory_mib=image.min_memory_mib,
    )


def memory_problems(here: Iterable[Desired], images: Iterable[WantedImage]) -> Iterator[Problem]:
    """Yield a problem per line of the spec whose nodes have less memory than their image demands. ``here``: at one site."""
    demanding = {(image.site, image.digest): image for image in images if image.min_memory_mib}
    seen: set[Where | None] = set()
    for node, where in here if demanding else ():
        image = demanding.get((node.site, node.image)) if isinstance(node, Node) else None
        if image is None or not isinstance(node, Node) or node.memory_mib >= image.min_memory_mib or where in seen:
            continue
        seen.add(where)
        minimum = format_size(image.min_memory_mib * MIB)
        detail = f"Image {image.name} needs {minimum} of memory, as site {node.site} demands, and {node.name} has "
        detail += f"{format_size(node.memory_mib * MIB)}. Write `memory: {minimum}` or more."
        yield Problem(summary="Memory too small", detail=detail, where=where)


def needed_site_images(plan: Plan, state: State) -> tuple[StagedImage, ...]:
    """Return the site images that ``plan`` copies, or makes disks from. A copy does not need the original."""
    recorded = (record.resource for record in state.records)
    resources = (*recorded, *(action.resource for action in plan.actions if action.verb in ("stage", "record")))
    known = {each.address: each for each in resources if isinstance(each, StagedImage)}
    gone = {drift.address for drift in plan.drift if drift.kind in ("gone", "disk-gone")}
    needed: dict[str, StagedImage] = {}
    for action in plan.actions:
        address = _image_address(action, gone)
        image = known.get(address)
        copies = action.verb == "stage" and action.reason != ALREADY_STAGED
        if image is not None and image.site_image and (image.in_place or copies):
            needed[address] = image
    return tuple(needed.values())


def _image_address(action: Action, gone: set[str]) -> str:
    """Return the address of the image that ``action`` needs; empty: none, as the disk exists."""
    resource = action.resource
    if isinstance(resource, StagedImage):
        return resource.address if action.verb == "stage" else ""
    if not isinstance(resource, Node) or action.verb != "boot":
        return ""
    makes_disk = action.before is None or action.impact == "rebuild" or resource.address in gone
    return f"{resource.site}/image/{resource.image[:16]}" if makes_disk else ""


def site_image_problems(found: Iterable[tuple[StagedImage, SiteImage | None]], wanted: Wanted) -> Iterator[Problem]:
    """Yield a problem per pinned image that its site no longer has, or has with other contents. ``found``: at the sites now."""
    for image, now in found:
        if now is not None and (not image.checksum or now.checksum == image.checksum):
            continue
        if now is None:
            summary, mistake = "Pinned image is gone from its site", f"Site {image.site} no longer has image {image.site_image}"
        else:
            summary = "Pinned image has changed at its site"
            mistake = f"Image {image.site_image} of site {image.site} has the checksum {now.checksum or 'none'} now, not the "
            mistake += f"pinned {image.checksum}"
        here = next((each for each in wanted.images if each.name == image.name and each.site == image.site), None)
        detail = f"{mistake}, which nodes with image {image.name} are to boot from. {_remedy(image, now, here)}; its nodes are "
        yield Problem(summary=summary, detail=f"{detail}then rebuilt.", where=here.where if here else None)


def _remedy(image: StagedImage, now: SiteImage | None, here: WantedImage | None) -> str:
    upgrade = f"`pragmaspec lock --upgrade {image.name}` pins"
    if here is None or not here.named_by_id:
        return f"{upgrade} the image that has the name {image.site_name} now"
    if now is not None:
        return f"{upgrade} its present contents"
    return "The spec names it by this id: write another id, or the name of an image there"
