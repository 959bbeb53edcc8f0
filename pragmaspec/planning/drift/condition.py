"""The condition of an observed machine besides its power and size: differences, disk layers, saved memory. Pure."""

from collections.abc import Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.planning.impact import FIELD_IMPACT, worst_impact
from pragmaspec.planning.observed import Layer, ObservedNode
from pragmaspec.planning.plan import Impact
from pragmaspec.resources import Node
from pragmaspec.text import joined


class Condition(Frozen, frozen=True):
    """Properties of a machine that determine the actions on it.

    ``layers``, ``additions``, ``passing`` and ``remedy`` are as in :class:`ObservedNode`.
    """

    impact: Impact = "none"
    """Impact of repairing its drift."""
    redefined: bool = False
    """True if its definition differs from the record, so that a boot rewrites it."""
    saved: bool = False
    """True if its memory is saved on disk."""
    memory_fits: bool = True
    """True if saved memory can be restored into the machine as recorded."""
    layers: tuple[Layer, ...] = ()
    additions: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    remedy: str = ""
    way: str = ""
    """Human-readable repair by a boot without a restart."""

    def is_redefined_by(self, fields: tuple[str, ...]) -> bool:
        """True if a boot rewrites the definition when ``fields`` of the node change."""
        return self.redefined or _changes_machine(fields)

    def loses_memory_by(self, fields: tuple[str, ...]) -> bool:
        """True if a boot discards saved memory when ``fields`` of the node change: it fits only the machine as saved."""
        return self.saved and (not self.memory_fits or _changes_machine(fields))


def _changes_machine(fields: tuple[str, ...]) -> bool:
    return any(FIELD_IMPACT[name] == "reboot" for name in fields)


HEALTHY = Condition()
RESTORED = "resumes from saved memory"
RESUMED = "paused → running"
CORRECTED = "corrected while running"
REDEFINED = "redefined while running"
_REPAIR_IMPACT: dict[str, Impact] = {"define": "none", "live": "live", "restart": "reboot"}


def condition(node: Node, seen: ObservedNode) -> Condition:
    """Return the condition of ``node``'s machine."""
    redefined = any(each.defined for each in seen.differences) or seen.status == "undefined"
    impact = _impact(seen, redefined=redefined) if node.running and seen.status in ("running", "paused") else "none"
    return Condition(
        impact=impact,
        redefined=redefined,
        saved=seen.saved,
        memory_fits=all(each.repair != "restart" for each in seen.differences),
        layers=seen.layers,
        additions=seen.additions,
        passing=seen.passing,
        remedy=seen.remedy,
        way="" if impact == "reboot" else _way(seen, redefined=redefined),
    )


def _impact(seen: ObservedNode, *, redefined: bool) -> Impact:
    """Return the impact of repairing a running machine. Its layers stay in use until it starts from its disk."""
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
    return REDEFINED if redefined else CORRECTED


def difference_texts(seen: ObservedNode) -> Iterator[str]:
    """Return one phrase per difference from the record."""
    return (each.detail for each in seen.differences)


def manual_change_texts(seen: ObservedNode) -> Iterator[str]:
    """Return one phrase per kind of manual change that is left alone: layers and additions."""
    overlays = [layer_text(layer) for layer in seen.layers if layer.above]
    if overlays:
        yield f"{joined(overlays)} {'overlays' if len(overlays) == 1 else 'overlay'} its disk"
    for layer in seen.layers:
        if not layer.above:
            yield f"{layer.file} replaces its disk"
    if seen.additions:
        yield f"{joined(seen.additions)} {_was(seen.additions)} added by hand"
    if seen.passing:
        yield f"{joined(seen.passing)} {_was(seen.passing)} added by hand to the running machine only"


def layer_text(layer: Layer, *, cleaned: bool = False) -> str:
    """Return ``snapshot s1 (file /pool/node.s1)``. ``cleaned``: also note a file that cleaning the node leaves behind."""
    stays = ", which is kept" if cleaned and layer.stays else ""
    return f"snapshot {layer.snapshot} (file {layer.file}{stays})" if layer.snapshot else f"file {layer.file}{stays}"


def _was(items: tuple[str, ...]) -> str:
    return "was" if len(items) == 1 else "were"
