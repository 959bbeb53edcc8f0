"""The condition of an observed machine beside its power and size: differences, layers above its disk, saved memory. Pure."""

from collections.abc import Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.planning.impact import FIELD_IMPACT, worst_impact
from pragmaspec.planning.observed import Layer, ObservedNode
from pragmaspec.planning.plan import Impact
from pragmaspec.resources import Node
from pragmaspec.text import joined


class Condition(Frozen, frozen=True):
    """The state of a machine on which the actions of a plan depend.

    ``impact``: cost of repairing its drift. ``redefined``: its definition differs from the recorded one, so that a boot rewrites
    it. ``fits``: saved memory matches the machine as recorded. ``way``: how a boot repairs its drift without a reboot.
    ``remedy``: how to merge the ``layers`` by hand without loss. ``additions``, ``passing``: see :class:`ObservedNode`.
    """

    impact: Impact = "none"
    redefined: bool = False
    saved: bool = False
    fits: bool = True
    layers: tuple[Layer, ...] = ()
    additions: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    remedy: str = ""
    way: str = ""

    def is_defined_anew(self, fields: tuple[str, ...]) -> bool:
        """True if a boot rewrites the definition when ``fields`` of the node change."""
        return self.redefined or _changes_machine(fields)

    def is_forgotten(self, fields: tuple[str, ...]) -> bool:
        """True if a boot discards saved memory when ``fields`` of the node change: it fits only the machine as it was saved."""
        return self.saved and (not self.fits or _changes_machine(fields))


def _changes_machine(fields: tuple[str, ...]) -> bool:
    return any(FIELD_IMPACT[name] == "reboot" for name in fields)


HEALTHY = Condition()
RESTORED = "goes on from its saved memory"
RESUMED = "paused → running"
CHANGED = "is put right while it runs"
DEFINED = "its definition is written anew, it runs on"
_REPAIR_IMPACT: dict[str, Impact] = {"define": "none", "live": "live", "restart": "reboot"}


def condition(node: Node, seen: ObservedNode) -> Condition:
    """The condition of ``node``'s machine."""
    redefined = any(each.defined for each in seen.differences) or seen.status == "undefined"
    impact = _impact(seen, redefined=redefined) if node.running and seen.status in ("running", "paused") else "none"
    return Condition(
        impact=impact,
        redefined=redefined,
        saved=seen.saved,
        fits=all(each.repair != "restart" for each in seen.differences),
        layers=seen.layers,
        additions=seen.additions,
        passing=seen.passing,
        remedy=seen.remedy,
        way="" if impact == "reboot" else _way(seen, redefined=redefined),
    )


def _impact(seen: ObservedNode, *, redefined: bool) -> Impact:
    """The cost of repairing the drift of a running machine. Its layers stay in use until it starts from its disk."""
    if seen.layers and redefined:
        return "reboot"
    return worst_impact(tuple(_REPAIR_IMPACT[each.repair] for each in seen.differences))


def _way(seen: ObservedNode, *, redefined: bool) -> str:
    if seen.saved:
        return RESTORED
    if seen.status == "paused":
        return RESUMED
    if seen.status != "running" or not seen.differences:
        return ""
    return DEFINED if redefined else CHANGED


def difference_texts(seen: ObservedNode) -> Iterator[str]:
    """The differences from the record, one phrase each."""
    return (each.detail for each in seen.differences)


def manual_change_texts(seen: ObservedNode) -> Iterator[str]:
    """The layers and manual additions, which are left alone, one phrase each."""
    above = [layer_text(layer) for layer in seen.layers if layer.above]
    if above:
        yield f"{joined(above)} {'stands' if len(above) == 1 else 'stand'} above its disk"
    for layer in seen.layers:
        if not layer.above:
            yield f"{layer.file} stands in the place of its disk"
    if seen.additions:
        yield f"{joined(seen.additions)} {'was' if len(seen.additions) == 1 else 'were'} added by hand"
    if seen.passing:
        yield f"{joined(seen.passing)} {'was' if len(seen.passing) == 1 else 'were'} added by hand to the running machine alone"


def layer_text(layer: Layer, *, cleaned: bool = False) -> str:
    """``snapshot s1 (file /pool/node.s1)``; ``cleaned``: and whether the file stays when the node is cleaned."""
    stays = ", which is left there" if cleaned and layer.stays else ""
    return f"snapshot {layer.snapshot} (file {layer.file}{stays})" if layer.snapshot else f"file {layer.file}{stays}"
