"""Which way an image takes to its site. Pure.

A host behind ssh can download by itself what everybody can have; then nothing travels through the user's line. Where the image is
on this machine too, that is not always quicker: a near host is sent it, and goes over to downloading when the line is slow.

Sites that hand images to each other: hosts that a person said to be of one administration and on one network. Pure.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec.structs import replace

from pragmaspec.planning.actions import ALREADY_STAGED
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.resources import StagedImage
from pragmaspec.site import LibvirtSite, Site
from pragmaspec.state_model import State

PeerGroupImage = tuple[str, str]
"""A neighbourhood, and the digest of an image that is wanted there."""


def peer_group(site: Site) -> str:
    """Sites with the same word hand images to each other; empty: this one does not. Commands have to be run on its host."""
    return (site.neighbourhood or "") if isinstance(site, LibvirtSite) and site.over_ssh else ""


def peer_groups(plan: Plan) -> Mapping[str, str]:
    """The neighbourhood of each site of ``plan`` that is in one."""
    words = {planned.site.name: peer_group(planned.site) for planned in plan.sites}
    return {name: word for name, word in words.items() if word}


def sites_holding(plan: Plan, state: State) -> Mapping[PeerGroupImage, frozenset[str]]:
    """The sites of each neighbourhood that have an image before ``plan`` is done, and keep it meanwhile."""
    have: dict[tuple[str, str], None] = {}
    for record in state.records:
        if isinstance(record.resource, StagedImage) and record.status == "ready":
            have[record.resource.site, record.resource.digest] = None
    for action in plan.actions:
        image = action.resource
        if not isinstance(image, StagedImage):
            continue
        if action.reason == ALREADY_STAGED:
            have[image.site, image.digest] = None
        elif action.verb in ("stage", "clean"):
            have.pop((image.site, image.digest), None)
    words = peer_groups(plan)
    found: dict[PeerGroupImage, frozenset[str]] = {}
    for site, digest in have:
        if site in words:
            found[words[site], digest] = found.get((words[site], digest), frozenset()) | {site}
    return found


Route = Literal["send", "fetch", "send-unless-slow"]
PublicCopyLookup = Callable[[str], PublicCopy | None]
"""The public copy of the image with a digest, if it has one."""


def route(site: Site, image: StagedImage, copy: PublicCopy | None) -> Route:
    """How ``image`` gets to ``site``. One with a kernel of its own is sent: nobody publishes the two together."""
    if copy is None or image.kernel is not None or not isinstance(site, LibvirtSite):
        return "send"
    if not site.over_ssh or site.fetch == "stream":
        return "send"
    return "send-unless-slow" if copy.here and site.fetch == "auto" else "fetch"


def with_routes(plan: Plan, copy_of: PublicCopyLookup, state: State) -> Plan:
    """``plan`` with the way of each image that has to travel to a host behind ssh. Of neighbours the first is brought it."""
    sites = {planned.site.name: planned.site for planned in plan.sites}
    words = peer_groups(plan)
    had = set(sites_holding(plan, state))

    def told(action: Action) -> Action:
        image = action.resource
        site = sites.get(image.site)
        if action.verb != "stage" or action.reason == ALREADY_STAGED or not isinstance(image, StagedImage):
            return action
        if not isinstance(site, LibvirtSite) or not site.over_ssh:
            return action
        word = words.get(image.site, "")
        if (word, image.digest) in had:
            return replace(action, way=f"passed on by its neighbours in {word}")
        if word:
            had.add((word, image.digest))
        copy = copy_of(image.digest)
        return replace(action, way=_words(route(site, image, copy), copy))

    return replace(plan, actions=tuple(told(action) for action in plan.actions))


def _words(chosen: Route, copy: PublicCopy | None) -> str:
    if copy is None or chosen == "send":
        return "sent from here"
    fetched = f"fetched by the host from {copy.server}"
    return fetched if chosen == "fetch" else f"sent from here, or {fetched} if that is slow"
