"""Routes of images to their sites: upload, download by the site, or a copy from a peer host. Pure.

A host behind ssh, and some clouds, can download public images by themselves, which spares the user's line. If this machine has
the image too, a download by a host is not always faster, so the upload starts and falls back to a download if it is slow. Hosts
of one peer group, which the spec declares to be of one administration and on one network, copy images from each other.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec.structs import replace

from pragmaspec.planning.actions import ALREADY_STAGED
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import PublicCopy
from pragmaspec.resources import StagedImage
from pragmaspec.site import ExternalSite, LibvirtSite, SimulatedSite, Site
from pragmaspec.state_model import State

PeerGroupImage = tuple[str, str]
"""A peer group, and the digest of an image that it needs."""
PublicCopyLookup = Callable[[str], PublicCopy | None]
"""Returns the public copy of the image with a digest, if any."""
Route = Literal["send", "fetch", "send-unless-slow"]


def peer_group(site: Site) -> str:
    """Return the peer group of ``site``; empty: none. Copying needs commands on the host, so only sites over ssh have one."""
    return (site.neighbourhood or "") if isinstance(site, LibvirtSite) and site.over_ssh else ""


def peer_groups(plan: Plan) -> Mapping[str, str]:
    """Return the peer group of each site of ``plan`` that has one."""
    groups = {planned.site.name: peer_group(planned.site) for planned in plan.sites}
    return {site: group for site, group in groups.items() if group}


def sites_holding(plan: Plan, state: State) -> Mapping[PeerGroupImage, frozenset[str]]:
    """Return the sites of each peer group that have an image before ``plan`` is applied, and keep it meanwhile."""
    staged: dict[tuple[str, str], None] = {}
    for record in state.records:
        if isinstance(record.resource, StagedImage) and record.status == "ready":
            staged[record.resource.site, record.resource.digest] = None
    for action in plan.actions:
        image = action.resource
        if not isinstance(image, StagedImage):
            continue
        if action.reason == ALREADY_STAGED:
            staged[image.site, image.digest] = None
        elif action.verb in ("stage", "clean"):
            staged.pop((image.site, image.digest), None)
    groups = peer_groups(plan)
    found: dict[PeerGroupImage, frozenset[str]] = {}
    for site, digest in staged:
        if site in groups:
            found[groups[site], digest] = found.get((groups[site], digest), frozenset()) | {site}
    return found


def route(site: Site, image: StagedImage, copy: PublicCopy | None) -> Route:
    """Return the route of ``image`` to ``site``. Images with a separate kernel are uploaded: no publisher has both."""
    if copy is None or image.kernel is not None or isinstance(site, SimulatedSite):
        return "send"
    if isinstance(site, ExternalSite):
        return "fetch" if site.fetches_images else "send"
    if not site.over_ssh or site.fetch == "stream":
        return "send"
    return "send-unless-slow" if copy.here and site.fetch == "auto" else "fetch"


def with_routes(plan: Plan, copy_of: PublicCopyLookup, state: State) -> Plan:
    """Return ``plan`` with the routes of all images that are transferred to hosts behind ssh.

    The first site of a peer group gets an image from outside, the others copy it.
    """
    sites = {planned.site.name: planned.site for planned in plan.sites}
    groups = peer_groups(plan)
    available = set(sites_holding(plan, state))

    def with_route(action: Action) -> Action:
        image = action.resource
        site = sites.get(image.site)
        if action.verb != "stage" or action.reason == ALREADY_STAGED or not isinstance(image, StagedImage):
            return action
        if image.site_image or site is None or not _has_routes(site):
            return action
        group = groups.get(image.site, "")
        if (group, image.digest) in available:
            return replace(action, way=f"copied from peers in {group}")
        if group:
            available.add((group, image.digest))
        copy = copy_of(image.digest)
        return replace(action, way=_route_text(site, route(site, image, copy), copy))

    return replace(plan, actions=tuple(with_route(action) for action in plan.actions))


def _has_routes(site: Site) -> bool:
    """True if there is another route to ``site`` than an upload."""
    return (isinstance(site, LibvirtSite) and site.over_ssh) or (isinstance(site, ExternalSite) and site.fetches_images)


def _route_text(site: Site, chosen: Route, copy: PublicCopy | None) -> str:
    if copy is None or chosen == "send":
        return "uploaded"
    download = f"fetched by the {'host' if isinstance(site, LibvirtSite) else 'cloud'} from {copy.server}"
    return download if chosen == "fetch" else f"uploaded, or {download} if that is slow"
