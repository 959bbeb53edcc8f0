"""Removal of images at a site that no node of any stack uses: ``--prune-images``. Pure.

Recorded images that the spec no longer names are cleaned without this option. The images here have no record: leftovers of a
crash or an interrupted removal, or of this stack under a lost state.
"""

from collections.abc import Iterable, Iterator, Mapping

from pragmaspec.planning.observed import StoredImage
from pragmaspec.planning.plan import Action
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Blob, Resource, StagedImage
from pragmaspec.state_model import State

UNUSED = "not used by any stack"
INCOMPLETE = "incomplete leftover"
_LINEAGE_DIGITS = 8
_DIGEST_DIGITS = 64


def prune_sites(wanted: Wanted, state: State, request: PlanRequest) -> frozenset[str]:
    """Return the names of the sites to prune: all, or those of the clusters in scope."""
    if not request.prune_images:
        return frozenset()
    named = {cluster.site for cluster in wanted.clusters if request.concerns(cluster.name)}
    if not request.only_clusters:
        return frozenset(named | {site.name for site in wanted.sites} | {record.resource.site for record in state.records})
    recorded = (record.resource for record in state.records)
    return frozenset(
        named | {each.site for each in recorded if not isinstance(each, StagedImage) and request.concerns(each.cluster)}
    )


def prune_actions(stored: Mapping[str, Iterable[StoredImage]], known: Iterable[Resource], lineage: str) -> Iterator[Action]:
    """Return a removal per unused image of ``stored``, by site. ``known``: all desired and recorded resources, which are kept.

    Images that another stack is registered to use are kept even if that stack no longer exists: this machine cannot know.
    """
    kept = {resource.address for resource in known if isinstance(resource, StagedImage)}
    for site, images in sorted(stored.items()):
        for each in images:
            image = _as_staged(site, each)
            if image.address not in kept and not each.held and set(each.users) <= {lineage[:_LINEAGE_DIGITS]}:
                reason = UNUSED if len(each.digest) == _DIGEST_DIGITS else INCOMPLETE
                yield Action(verb="clean", resource=image, before=image, reason=reason)


def _as_staged(site: str, stored: StoredImage) -> StagedImage:
    """Return the image with placeholders for its name and parts, which a removal does not use."""
    return StagedImage(
        site=site,
        digest=stored.digest,
        name=stored.digest[:16],
        format="raw",
        disk=Blob(sha256=stored.digest, size_bytes=stored.size_bytes),
        virtual_size_bytes=stored.size_bytes,
    )
