"""Images without cloud-init, whose guests are configured before their boot with values that some sites choose only then. Pure."""

from collections.abc import Iterable, Iterator

from pragmaspec.errors import Problem
from pragmaspec.planning.desired import Desired
from pragmaspec.resources import Node
from pragmaspec.site import Site


def offline_problems(entries: Iterable[Desired], sites: Iterable[Site]) -> Iterator[Problem]:
    """Yield a problem for the first such node of each cluster."""
    late = {site.name for site in sites if {"macs", "private"}.intersection(site.late_values)}
    reported: set[tuple[str, str]] = set()
    for entry in entries if late else ():
        node = entry.resource
        if not isinstance(node, Node) or node.site not in late or node.cloud_init or (node.site, node.cluster) in reported:
            continue
        reported.add((node.site, node.cluster))
        yield Problem(
            "Image without cloud-init at a site that chooses addresses",
            f"{node.name} boots from an image without cloud-init, whose interfaces are configured before its boot, but site "
            f"{node.site} chooses MACs or addresses only then. Use an image with cloud-init there.",
            where=entry.where,
        )
