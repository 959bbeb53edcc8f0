"""Processors of nodes: the default of their site for new ones, and requests that the site cannot fulfil. Pure.

A recorded node keeps its processor. One that was made before processors were recorded gets the default when it is made anew.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from pragmaspec.errors import Problem, Where
from pragmaspec.planning.desired import Desired
from pragmaspec.planning.new_machines import NewMachines
from pragmaspec.planning.observed import Inventory
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Node
from pragmaspec.text import did_you_mean, joined

MAX_PROCESSORS = 12
"""Number of processors that an error names."""


class SiteProcessors(NamedTuple):
    """The processors that a site can give.

    ``pinned``: the default according to the lock file, empty if it has none. ``wanted``: the spec, for the places of problems.
    """

    site: str
    wanted: Wanted
    offered: tuple[str, ...] = ()
    own_default: str = ""
    pinned: str = ""

    @property
    def default(self) -> str:
        """The processor of new nodes whose spec names none; empty: the site decides."""
        return self.pinned or self.own_default


def site_processors(wanted: Wanted, inventories: Mapping[str, Inventory]) -> dict[str, SiteProcessors]:
    """Return the processors of the sites in ``inventories``, with the defaults that the lock file pins."""
    pinned = dict(wanted.processors)
    return {
        site: SiteProcessors(site, wanted, inventory.processors or (), inventory.default_processor, pinned.get(site, ""))
        for site, inventory in inventories.items()
    }


def with_default_processors(
    desired: Iterable[Desired], processors: Mapping[str, SiteProcessors], wanted: Wanted, new: NewMachines
) -> tuple[list[Desired], dict[str, str]]:
    """Return ``desired`` with the default of their site for nodes without a processor whose machines are made anew.

    Also returns the sites of these nodes by their addresses. A node with a new machine does not keep the recorded processor at a
    site that now chooses processors itself.
    """
    silent = {site for site, each in processors.items() if not each.offered}
    found, defaulted = list(desired), {}
    for index, entry in enumerate(found if silent else ()):
        if entry.resource.site in silent:
            found[index] = _without_kept_processor(entry, wanted, new)
    defaults = {site: each.default for site, each in processors.items() if each.default}
    for index, entry in enumerate(found if defaults else ()):
        node = entry.resource
        if isinstance(node, Node) and not node.cpu and node.site in defaults and new.has(node):
            found[index] = entry._replace(resource=replace(node, cpu=defaults[node.site]))
            defaulted[node.address] = node.site
    return found, defaulted


def _without_kept_processor(entry: Desired, wanted: Wanted, new: NewMachines) -> Desired:
    node = entry.resource
    if not isinstance(node, Node) or not node.cpu or not new.has(node):
        return entry
    cluster = wanted.cluster(node.cluster)
    settings = cluster.settings_of(node) if cluster else None
    return entry if settings is None or settings.cpu else entry._replace(resource=replace(node, cpu=""))


def processor_problems(
    processors: SiteProcessors, here: Iterable[Desired], defaulted: Container[str], new: NewMachines
) -> Iterator[Problem]:
    """Yield one problem per line of the spec and processor that the site cannot give to a new or changed node.

    ``defaulted``: addresses of the nodes that have the default. If that is pinned, there is one problem for all of them.
    """
    reported: set[object] = set()
    for entry in here:
        node = entry.resource
        if not isinstance(node, Node) or not node.running or not node.cpu or node.cpu in processors.offered:
            continue
        is_pinned = bool(processors.pinned) and node.address in defaulted
        key = "" if is_pinned else (node.cpu, entry.where)
        before = new.recorded(node)
        if key in reported or (before is not None and before.cpu == node.cpu and not new.has(node)):
            continue
        where = processors.wanted.where_of(node, "cpu") or entry.where
        place = "" if is_pinned else (node.cpu, where)
        if place not in reported:
            yield _pin_problem(processors, entry) if is_pinned else _problem(processors, where, node)
        reported |= {key, place}


def _problem(processors: SiteProcessors, where: Where | None, node: Node) -> Problem:
    offered = processors.offered
    known = f"It can give {joined(offered, MAX_PROCESSORS)}. Write one of these as `cpu`, or use another site."
    if not offered:
        known = "It chooses the processors of its machines itself. Remove `cpu`, or use another site."
    hint = known if node.cpu.startswith("x86-64") or not offered else did_you_mean(node.cpu, offered, known)
    return Problem(
        summary="The site cannot give this processor",
        detail=f"{node.name} wants the processor {node.cpu}, which site {processors.site} cannot give. {hint}",
        where=where,
    )


def _pin_problem(processors: SiteProcessors, entry: Desired) -> Problem:
    site, offered = processors.site, processors.offered
    known = f"It can give {joined(offered, MAX_PROCESSORS)}" if offered else "It chooses the processors of its machines itself"
    own = processors.own_default
    update = f"pins {own} instead" if own else "removes the pin"
    own_choice = "; a `cpu` in the spec decides for its nodes alone" if offered else ""
    return Problem(
        summary="The site cannot give the processor of the lock file",
        detail=f"pragmaspec.lock gives new nodes of site {site} the processor {processors.pinned}, which the site cannot give. "
        f"{known}. `pragmaspec lock --upgrade {site}` {update}{own_choice}.",
        where=entry.where,
    )
