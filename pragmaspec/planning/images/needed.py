"""Selects the images that the desired nodes need at their sites. Pure."""

from collections.abc import Iterable

from pragmaspec.errors import Problem
from pragmaspec.planning.desired import Desired, desired_images
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node, StagedImage


def needed_images(wanted: Wanted, desired: Iterable[Desired], refreshed: RefreshedState, request: PlanRequest) -> list[Desired]:
    """Return the images of the spec that ``desired`` nodes or other clusters boot, and the recorded ones that nodes keep.

    If the digest of an image of the spec is unknown, recorded images of that name are kept. A missing image that is no longer in
    the spec cannot be staged again, so it is not desired.
    """
    booted = {(each.site, each.image) for each, _ in desired if isinstance(each, Node)}
    others = [cluster for cluster in wanted.clusters if not request.concerns(cluster.name)]
    if request.drop:
        created = {each.resource.cluster for each in refreshed.state.records if not isinstance(each.resource, StagedImage)}
        others = [cluster for cluster in others if cluster.name in created]  # others need no image yet
    used_by_others = {image.digest for cluster in others for image in wanted.images_of(cluster)}
    found: dict[tuple[str, str], Desired] = {}
    for entry in desired_images(wanted, request):
        image = entry.resource
        if isinstance(image, StagedImage) and ((image.site, image.digest) in booted or image.digest in used_by_others):
            found[image.site, image.digest] = entry
    unknown = {(cluster.site, image.name) for cluster in others for image in wanted.images_of(cluster) if not image.digest}
    for record in refreshed.state.records:
        image = record.resource
        if not isinstance(image, StagedImage):
            continue
        key = (image.site, image.digest)
        if key not in booted and (image.site, image.name) not in unknown:
            continue
        if request.running or (key not in found and record.address not in refreshed.gone):
            found[key] = Desired(image, found[key].where if key in found else None)
    return list(found.values())


def unknown_image_problems(desired: Iterable[Desired], request: PlanRequest) -> list[Problem]:
    """Return one problem per node to switch on whose image is neither in the spec nor in the state."""
    if not request.running:
        return []
    entries = list(desired)
    known = {(each.site, each.digest) for each, _ in entries if isinstance(each, StagedImage)}
    return [
        Problem(
            summary="Unknown image of a node",
            detail=f"{node.name} uses image {node.image[:16]}, which is neither recorded at site {node.site} nor in the spec. "
            "`pragmaspec apply` rebuilds the node from the image in the spec.",
            where=where,
        )
        for node, where in entries
        if isinstance(node, Node) and node.running and request.switches(node.cluster) and (node.site, node.image) not in known
    ]
