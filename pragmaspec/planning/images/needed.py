"""The images that have to be at a site for what is desired there. Pure."""

from collections.abc import Iterable

from pragmaspec.errors import Problem
from pragmaspec.planning.desired import Desired, desired_images
from pragmaspec.planning.drift.refresh import RefreshedState
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node, StagedImage


def needed_images(wanted: Wanted, desired: Iterable[Desired], seen: RefreshedState, request: PlanRequest) -> list[Desired]:
    """Of the spec's images those that ``desired`` nodes boot, or other clusters; and recorded ones that nodes stay on.

    Where it is not known which image the spec means, a recorded one of that name may be it. One that the spec no longer has and
    that is gone from its site cannot be brought there again, so it is not desired.
    """
    booted = {(each.site, each.image) for each, _ in desired if isinstance(each, Node)}
    others = [cluster for cluster in wanted.clusters if not request.concerns(cluster.name)]
    if request.drop:
        made = {record.resource.cluster for record in seen.state.records if not isinstance(record.resource, StagedImage)}
        others = [cluster for cluster in others if cluster.name in made]  # what was never made needs no image there yet
    kept = {image.digest for cluster in others for image in wanted.images_of(cluster)}
    found: dict[tuple[str, str], Desired] = {}
    for entry in desired_images(wanted, request):
        image = entry.resource
        if isinstance(image, StagedImage) and ((image.site, image.digest) in booted or image.digest in kept):
            found[image.site, image.digest] = entry
    unread = {(cluster.site, image.name) for cluster in others for image in wanted.images_of(cluster) if not image.digest}
    for record in seen.state.records:
        image = record.resource
        if not isinstance(image, StagedImage):
            continue
        place = (image.site, image.digest)
        if place not in booted and (image.site, image.name) not in unread:
            continue
        if request.running or (place not in found and record.address not in seen.gone):
            found[place] = Desired(image, found[place].where if place in found else None)
    return list(found.values())


def unknown_image_problems(desired: Iterable[Desired], request: PlanRequest) -> list[Problem]:
    """One problem for each node that shall be switched on and stands on an image that neither spec nor state know."""
    entries = list(desired)
    known = {(each.site, each.digest) for each, _ in entries if isinstance(each, StagedImage)}
    return [
        Problem(
            summary="The node's image is not known",
            detail=f"{node.name} stands on image {node.image[:16]}, which is neither recorded at site {node.site} nor in "
            "the spec. `pragmaspec apply` makes the node anew from the image that the spec names.",
            where=where,
        )
        for node, where in entries
        if isinstance(node, Node) and node.running and request.switches(node.cluster) and (node.site, node.image) not in known
    ]
