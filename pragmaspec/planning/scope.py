"""The scope of a plan: everything, or the clusters that it is narrowed to. Pure."""

from pragmaspec.planning.desired import Desired
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node, StagedImage
from pragmaspec.state_model import State


def addresses_in_scope(wanted: Wanted, desired: list[Desired], state: State, request: PlanRequest) -> frozenset[str]:
    """Addresses of everything that this plan is about: all, or the clusters it is narrowed to with the images they need.

    An image that nodes of other clusters were booted from is left alone, even when the spec has another for them by now. Removing
    a cluster also removes what is no longer needed at its site: its images are there even if its nodes never were.
    """
    resources = [*(entry.resource for entry in desired), *(record.resource for record in state.records)]
    if request.running and request.only_clusters:
        return _switched(desired)
    asked_for = {entry.resource.address for entry in desired}
    if not request.only_clusters:
        return frozenset(
            each.address
            for each in resources
            if each.address in asked_for or isinstance(each, StagedImage) or not request.switches(each.cluster)
        )
    clusters = [
        resource for resource in resources if not isinstance(resource, StagedImage) and request.concerns(resource.cluster)
    ]
    images = {(node.site, node.image) for node in clusters if isinstance(node, Node)}
    left = {resource.site for resource in clusters if resource.cluster in request.drop}
    left |= {cluster.site for cluster in wanted.clusters if cluster.name in request.drop}
    others = {(node.site, node.image) for node in state.nodes() if not request.concerns(node.cluster)}

    def concerned(image: StagedImage) -> bool:
        place = (image.site, image.digest)
        if image.address in asked_for:
            return place in images
        return (place in images or image.site in left) and place not in others

    needed = [each for each in resources if isinstance(each, StagedImage) and concerned(each)]
    return frozenset(resource.address for resource in (*clusters, *needed))


def _switched(desired: list[Desired]) -> frozenset[str]:
    """Addresses in the scope of a plan that only switches clusters: it removes nothing, and touches only images that it boots."""
    booted = {(each.site, each.image) for each, _ in desired if isinstance(each, Node) and each.running}
    return frozenset(
        each.address for each, _ in desired if not isinstance(each, StagedImage) or (each.site, each.digest) in booted
    )
