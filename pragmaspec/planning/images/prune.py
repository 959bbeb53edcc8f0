"""Images at a site that no node of any stack uses: what ``--prune-images`` adds to a plan. Pure.

An image that the spec no longer names is cleaned without that, because it is recorded. What is meant here is in no record of
ours: left by a crash, by a removal that was cut off, or used by this stack in a state that was lost.
"""

from collections.abc import Iterable, Iterator, Mapping

from pragmaspec.planning.observed import StoredImage
from pragmaspec.planning.plan import Action
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Blob, Resource, StagedImage
from pragmaspec.state_model import State

UNUSED = "no node of any stack uses it"
LEFT_BEHIND = "left behind unfinished"
_SHORT = 8
_WHOLE = 64


def prune_sites(wanted: Wanted, state: State, request: PlanRequest) -> frozenset[str]:
    """Names of the sites where ``request`` asks for pruning: all, or those of the clusters that it is about."""
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
    """A removal for each image of ``stored``, by site, that nobody uses. ``known`` is all that is desired or recorded: it stays.

    One that another stack says it uses stays, even if that stack is gone: from here nobody can tell.
    """
    kept = {resource.address for resource in known if isinstance(resource, StagedImage)}
    for site, images in sorted(stored.items()):
        for each in images:
            image = _image(site, each)
            if image.address not in kept and not each.held and set(each.users) <= {lineage[:_SHORT]}:
                reason = UNUSED if len(each.digest) == _WHOLE else LEFT_BEHIND
                yield Action(verb="clean", resource=image, before=image, reason=reason)


def _image(site: str, stored: StoredImage) -> StagedImage:
    """The image as far as it is known: what it is called and made of does not matter to a removal."""
    return StagedImage(
        site=site,
        digest=stored.digest,
        name=stored.digest[:16],
        format="raw",
        disk=Blob(sha256=stored.digest, size_bytes=stored.size_bytes),
        virtual_size_bytes=stored.size_bytes,
    )
