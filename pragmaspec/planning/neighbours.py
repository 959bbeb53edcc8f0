"""Sites that hand images to each other: hosts that a person said to be of one administration and on one network. Pure."""

from collections.abc import Mapping

from pragmaspec.planning.actions import ALREADY_THERE
from pragmaspec.planning.plan import Plan
from pragmaspec.recorded import StagedImage, State
from pragmaspec.site import LibvirtSite, Site

Shared = tuple[str, str]
"""A neighbourhood, and the digest of an image that is wanted there."""


def neighbourhood(site: Site) -> str:
    """Sites with the same word hand images to each other; empty: this one does not. Commands have to be run on its host."""
    return (site.neighbourhood or "") if isinstance(site, LibvirtSite) and site.over_ssh else ""


def neighbourhoods(plan: Plan) -> Mapping[str, str]:
    """The neighbourhood of each site of ``plan`` that is in one."""
    words = {planned.site.name: neighbourhood(planned.site) for planned in plan.sites}
    return {name: word for name, word in words.items() if word}


def holders(plan: Plan, state: State) -> Mapping[Shared, frozenset[str]]:
    """The sites of each neighbourhood that have an image before ``plan`` is done, and keep it meanwhile."""
    have: dict[tuple[str, str], None] = {}
    for record in state.records:
        if isinstance(record.resource, StagedImage) and record.status == "ready":
            have[record.resource.site, record.resource.digest] = None
    for action in plan.actions:
        image = action.resource
        if not isinstance(image, StagedImage):
            continue
        if action.reason == ALREADY_THERE:
            have[image.site, image.digest] = None
        elif action.verb in ("stage", "clean"):
            have.pop((image.site, image.digest), None)
    words = neighbourhoods(plan)
    found: dict[Shared, frozenset[str]] = {}
    for site, digest in have:
        if site in words:
            found[words[site], digest] = found.get((words[site], digest), frozenset()) | {site}
    return found
