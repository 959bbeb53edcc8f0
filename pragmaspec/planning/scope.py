"""The scope of a plan: the whole stack, or some of its clusters. Pure."""

from collections.abc import Container

from pragmaspec.planning.desired import Desired
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node, StagedImage
from pragmaspec.state_model import State


class _Everything:
    """Contains every address."""

    def __contains__(self, address: object) -> bool:
        return True


EVERYTHING: Container[str] = _Everything()
"""The scope of a plan for the whole stack."""


def addresses_in_scope(wanted: Wanted, desired: list[Desired], state: State, request: PlanRequest) -> Container[str]:
    """Return the addresses that the plan may change: all, or those of its clusters and their images.

    Recorded images of other clusters are left alone, even if the spec has replaced them. Removing a cluster also removes the
    unneeded images of its site, even if its nodes were never created.
    """
    if request.drop_volumes and not request.only_clusters:
        return frozenset(request.drop_volumes)
    if not request.running and not request.only_clusters:
        return EVERYTHING
    resources = [*(entry.resource for entry in desired), *(record.resource for record in state.records)]
    if request.running and request.only_clusters:
        return _power_scope(desired)
    desired_addresses = {entry.resource.address for entry in desired}
    if not request.only_clusters:
        return frozenset(
            each.address
            for each in resources
            if each.address in desired_addresses or isinstance(each, StagedImage) or not request.switches(each.cluster)
        )
    in_scope = [each for each in resources if not isinstance(each, StagedImage) and request.concerns(each.cluster)]
    booted = {(node.site, node.image) for node in in_scope if isinstance(node, Node)}
    vacated = {each.site for each in in_scope if each.cluster in request.drop}
    vacated |= {cluster.site for cluster in wanted.clusters if cluster.name in request.drop}
    used_by_others = {(node.site, node.image) for node in state.nodes() if not request.concerns(node.cluster)}

    def is_in_scope(image: StagedImage) -> bool:
        key = (image.site, image.digest)
        if image.address in desired_addresses:
            return key in booted
        return (key in booted or image.site in vacated) and key not in used_by_others

    images = [each for each in resources if isinstance(each, StagedImage) and is_in_scope(each)]
    return frozenset(each.address for each in (*in_scope, *images))


def _power_scope(desired: list[Desired]) -> frozenset[str]:
    """Return the scope of a plan that only switches clusters: it removes nothing, and stages only images that it boots."""
    booted = {(each.site, each.image) for each, _ in desired if isinstance(each, Node) and each.running}
    return frozenset(
        each.address for each, _ in desired if not isinstance(each, StagedImage) or (each.site, each.digest) in booted
    )
