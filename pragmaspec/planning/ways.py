"""Which way an image takes to its site. Pure.

A host behind ssh can download by itself what everybody can have; then nothing travels through the user's line. Where the image is
on this machine too, that is not always quicker: a near host is sent it, and goes over to downloading when the line is slow.
"""

from collections.abc import Callable
from typing import Literal

from msgspec.structs import replace

from pragmaspec.planning.actions import ALREADY_THERE
from pragmaspec.planning.neighbours import holders, neighbourhoods
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.recorded import StagedImage, State
from pragmaspec.site import LibvirtSite, Site

Way = Literal["send", "fetch", "send-unless-slow"]
CopyOf = Callable[[str], PublicCopy | None]
"""The public copy of the image with a digest, if it has one."""


def way(site: Site, image: StagedImage, copy: PublicCopy | None) -> Way:
    """How ``image`` gets to ``site``. One with a kernel of its own is sent: nobody publishes the two together."""
    if copy is None or image.kernel is not None or not isinstance(site, LibvirtSite):
        return "send"
    if not site.over_ssh or site.fetch == "stream":
        return "send"
    return "send-unless-slow" if copy.here and site.fetch == "auto" else "fetch"


def with_ways(plan: Plan, copy_of: CopyOf, state: State) -> Plan:
    """``plan`` with the way of each image that has to travel to a host behind ssh. Of neighbours the first is brought it."""
    sites = {planned.site.name: planned.site for planned in plan.sites}
    words = neighbourhoods(plan)
    had = set(holders(plan, state))

    def told(action: Action) -> Action:
        image = action.resource
        site = sites.get(image.site)
        if action.verb != "stage" or action.reason == ALREADY_THERE or not isinstance(image, StagedImage):
            return action
        if not isinstance(site, LibvirtSite) or not site.over_ssh:
            return action
        word = words.get(image.site, "")
        if (word, image.digest) in had:
            return replace(action, way=f"passed on by its neighbours in {word}")
        if word:
            had.add((word, image.digest))
        copy = copy_of(image.digest)
        return replace(action, way=_words(way(site, image, copy), copy))

    return replace(plan, actions=tuple(told(action) for action in plan.actions))


def _words(chosen: Way, copy: PublicCopy | None) -> str:
    if copy is None or chosen == "send":
        return "sent from here"
    fetched = f"fetched by the host from {copy.server}"
    return fetched if chosen == "fetch" else f"sent from here, or {fetched} if that is slow"
