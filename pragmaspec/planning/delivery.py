"""Checks that new nodes can be told about themselves in the ways that their site declares. Pure.

Sizes of user-data are estimated with a placeholder for the secret of the stack. Its keys are as long and as random as the real
ones, so the estimate is exact, except that compressed sizes of other keys differ by a few bytes, for which it has a margin.
"""

from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

from pragmaspec.errors import Problem
from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.new_machines import NewMachines
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedNodes
from pragmaspec.resources import Allocation, Node
from pragmaspec.site import Site
from pragmaspec.text import joined

MAX_NODES = 3
"""Number of nodes that a problem names."""
MARGIN_BYTES = 64
"""The compressed size with the real keys may exceed the estimate by at most this much."""
_PLACEHOLDER_SECRET = b"a placeholder for a stack's key."


def delivery_problems(
    site: Site, desired: Iterable[Desired], wanted: Wanted, new: NewMachines, selected: Container[str]
) -> Iterator[Problem]:
    """Return one problem per set of equal nodes that boot for the first time at ``site``, and cannot be told all they need.

    ``selected``: the addresses that the plan includes.
    """
    here = [entry.resource for entry in desired if entry.resource.site == site.name]
    nodes = [each for each in here if isinstance(each, Node)]
    alike: dict[tuple[str, int], _NewNodes] = {}
    for node in nodes:
        if not node.running or node.address not in selected or not new.may_have(node):
            continue
        cluster = wanted.cluster(node.cluster)
        settings = cluster.settings_of(node) if cluster is not None else None
        if cluster is not None and settings is not None:
            alike.setdefault((node.cluster, id(settings)), _NewNodes(cluster, settings, [])).nodes.append(node)
    for found in alike.values():
        allocations = (each for each in here if isinstance(each, Allocation) and each.cluster == found.cluster.name)
        members = tuple(node for node in nodes if node.cluster == found.cluster.name)
        for allocation in allocations:
            yield from _problems(site, found, _Members(wanted, new.state.lineage, found.cluster, allocation, members))


class _NewNodes(NamedTuple):
    """The new nodes of a cluster with equal settings."""

    cluster: WantedCluster
    settings: WantedNodes
    nodes: list[Node]

    @property
    def names(self) -> str:
        """Their names, as the subject of a sentence."""
        return joined([node.name for node in self.nodes], MAX_NODES)

    @property
    def longest(self) -> Node:
        """The node with the largest user-data: it has the longest names and addresses."""
        return max(self.nodes, key=lambda node: len(node.name) + sum(len(nic.address) for nic in node.nics))


class _Members(NamedTuple):
    """The desired nodes of a cluster."""

    wanted: Wanted
    lineage: str
    cluster: WantedCluster
    allocation: Allocation
    nodes: tuple[Node, ...]

    @property
    def frontend(self) -> Node | None:
        """The frontend."""
        return next((node for node in self.nodes if node.role == "frontend"), None)

    def guests(self, nodes: tuple[Node, ...]) -> GuestCluster:
        """Return the cluster as ``nodes`` see it, as if they were all."""
        return GuestCluster(
            allocation=self.allocation,
            nodes=nodes,
            domain=self.cluster.domain,
            ssh_keys=self.cluster.ssh_keys,
            users=self.cluster.users,
            spec_sha256=self.wanted.spec_sha256,
            lineage=self.lineage,
        )


def _problems(site: Site, found: _NewNodes, members: _Members) -> Iterator[Problem]:
    node, delivery = found.longest, site.delivery
    if not delivery.reaches(cloud_init=node.cloud_init):
        yield _unreached(site, found, cloud_init=node.cloud_init)
    elif node.cloud_init and delivery.limit is not None and not {"first_boot", "keys", "users"} & set(members.cluster.unknown):
        yield from _size_problems(site, delivery.limit, found, members)


def _unreached(site: Site, found: _NewNodes, *, cloud_init: bool) -> Problem:
    image = found.settings.image
    if cloud_init:
        summary, lacks = "The site cannot tell nodes about themselves", "reads a seed or user-data, and"
        gives, remedy = "has neither of them", "Use another site, or an image with `guest: files` if the site writes files."
    else:
        summary, lacks = (
            "The site writes no files into disks",
            "has no cloud-init, so files have to be written into its disks, and",
        )
        gives, remedy = "cannot do that", "Use an image with cloud-init there."
    return Problem(
        summary=summary,
        detail=f"Image {image} of {found.names} {lacks} the provider {site.provider_name} of site {site.name} {gives}. {remedy}",
        where=found.settings.where,
    )


def _size_problems(site: Site, limit: int, found: _NewNodes, members: _Members) -> Iterator[Problem]:
    # Takes 30 ms to import.
    from pragmaspec.guest.cloud_init.limited import essential_user_data, limited_user_data  # noqa: PLC0415
    from pragmaspec.guest.keys import StackKey  # noqa: PLC0415

    key, node = StackKey(_PLACEHOLDER_SECRET), found.longest
    settings = GuestSettings(packages=found.settings.packages, user_data=found.settings.user_data)
    frontend = members.frontend or node
    few = members.guests((frontend,) if node is frontend else (frontend, node))
    size = _estimate(essential_user_data(node, few, settings, key, limit).content)
    if size > limit:
        own = _estimate(essential_user_data(node, few, GuestSettings(), key, 0).content)
        yield _too_large(site, limit, found, size, own)
        return
    reason = _cannot_follow(node, frontend)
    if reason:
        left_out = limited_user_data(node, members.guests(members.nodes), settings, key, limit - MARGIN_BYTES).left_out
        if left_out:
            yield _incomplete(site, limit, found, left_out, reason)


def _estimate(content: bytes) -> int:
    return len(content) + (MARGIN_BYTES if content[:1] != b"#" else 0)


def _cannot_follow(node: Node, frontend: Node) -> str:
    """Return why the node cannot be updated over ssh before it counts as ready, and what to do, or nothing."""
    if node.nic("public") is None and frontend.nic("public") is None:
        return "there is no route to the node, because its frontend has no public address. Give it one with `public`"
    if node.readiness.when == "none":
        return "a node with `readiness: none` is ready before anybody logs in. Write `readiness: ssh`"
    return ""


def _too_large(site: Site, limit: int, found: _NewNodes, size: int, own: int) -> Problem:
    settings = [
        f"`{name}`" for name, value in (("user_data", found.settings.user_data), ("packages", found.settings.packages)) if value
    ]
    needs = f"about {_rounded(own):,} of them are keys and settings that every node needs"
    if own > limit:
        needs = "these are the ssh keys and settings that every node needs, at least 1 to 2 KiB" if not settings else needs
        remedy = "Use a site that allows more, or fewer ssh keys and users."
    else:
        remedy = f"Shorten {' and '.join(settings)}: move large content to the image or a package, or let the node download it."
    return Problem(
        summary="User-data too large for the site",
        detail=f"Site {site.name} allows user-data of {limit:,} bytes. That of {found.names} has about {_rounded(size):,} when "
        f"it is compressed, without the files that can follow over ssh; {needs}. {remedy}",
        where=found.settings.user_data_where or found.settings.where,
    )


def _rounded(size: int) -> int:
    """Return ``size`` rounded up: the last digits differ between versions of zlib."""
    return -(-size // 100) * 100


def _incomplete(site: Site, limit: int, found: _NewNodes, left_out: tuple[str, ...], reason: str) -> Problem:
    return Problem(
        summary="Files that do not fit into user-data",
        detail=f"Site {site.name} allows {limit:,} bytes of user-data, into which {joined(left_out, MAX_NODES)} of {found.names} "
        f"do not fit. They cannot follow over ssh: {reason}, or use fewer nodes.",
        where=found.settings.where,
    )
