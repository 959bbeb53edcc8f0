"""The last lines of a plan: how much is to be done, what travels, and what is at risk."""

from collections import Counter
from collections.abc import Sequence

from pragmaspec.planning.actions import ALREADY_STAGED
from pragmaspec.planning.plan import Impact, Plan
from pragmaspec.planning.safety import named_by_command
from pragmaspec.report.plan.groups import ResourceActions
from pragmaspec.report.plan.layout import wrap_sentences
from pragmaspec.report.plan.rows import breaks_protection, display_name, short_verb
from pragmaspec.report.style import Style, Tone
from pragmaspec.resources import Node, StagedImage
from pragmaspec.text import joined, size

_NAMED = 3
_DOING = {
    "move": "to move",
    "stage": "to stage",
    "allocate": "to allocate",
    "boot": "to boot",
    "update": "to update",
    "reboot": "to reboot",
    "rebuild": "to rebuild",
    "shutdown": "to shut down",
    "shutdown clean": "to shut down and clean",
    "clean": "to clean",
    "record": "to record",
}


def summary_lines(listed: Sequence[ResourceActions], plan: Plan, pen: Style, width: int) -> list[str]:
    """``Plan: …``, then a line for each risk, or that there is none."""
    part = " for a part of the stack" if plan.partial else ""
    sentences: list[tuple[str, Tone, str]] = [(f"Plan{part}: {_counts(listed, plan)}.", "bold", "")]
    risks = _risks(listed, plan)
    if not risks:
        doing, tone, _ = sentences.pop()
        sentences.append((doing, tone, " Nothing is rebooted, rebuilt or lost."))
    return [piece for sentence in (*sentences, *risks) for piece in _wrapped(*sentence, pen, width)]


def _wrapped(begin: str, tone: Tone, rest: str, pen: Style, width: int) -> list[str]:
    """A sentence that begins in the colour of ``tone``."""
    left = len(pen.say(begin))
    lines = []
    for shown in wrap_sentences(pen.say(begin + rest), width):
        lines.append(pen.paint(shown[:left], tone) + shown[left:])
        left = max(0, left - len(shown) - 1)
    return lines


def _counts(listed: Sequence[ResourceActions], plan: Plan) -> str:
    counts = {**dict.fromkeys(_DOING, 0), "move": len(plan.moves)}
    for verbs, count in Counter(entry.verbs for entry in listed).items():
        counts["shutdown clean" if verbs == ("shutdown", "clean") else short_verb(verbs)] += count
    transfer = _transfer_bytes(listed)
    more = {"stage": f" ({size(transfer)} to transfer)" if transfer else ""}
    return ", ".join(f"{count:,} {_DOING[what]}{more.get(what, '')}" for what, count in counts.items() if count)


def _transfer_bytes(listed: Sequence[ResourceActions]) -> int:
    """How much has to travel; what another stack has put at the site already does not."""
    return sum(
        entry.main.resource.transfer_bytes
        for entry in listed
        if entry.main.verb == "stage" and isinstance(entry.main.resource, StagedImage) and entry.main.reason != ALREADY_STAGED
    )


def _risks(listed: Sequence[ResourceActions], plan: Plan) -> list[tuple[str, Tone, str]]:
    """Sentences about what is stopped or lost: the word that stands out, its tone, the rest."""
    risks: list[tuple[str, Tone, str]] = []
    reboots = _subjects(listed, "reboot")
    stopped = [display_name(entry.main.resource) for entry in listed if entry.verbs == ("shutdown",)]
    stops = [f"Reboots {joined(reboots)}."] if reboots else []
    stops += [f"Stops {joined(stopped)}."] if stopped else []
    if stops:
        risks.append(("", "plain", " ".join(stops)))
    rebuilt = _subjects(listed, "rebuild")
    if rebuilt:
        words = _named(rebuilt, "gets a new disk", "get new disks")
        risks.append(
            ("REBUILD", "danger", f": {words}{'' if _meant(listed, plan, 'rebuild') else ' (allow with --allow rebuild)'}.")
        )
    lost = [display_name(entry.main.resource) for entry in listed if entry.impact == "data-loss" and "clean" in entry.verbs]
    if lost:
        words = _named(lost, "is removed with its disk", "are removed with their disks")
        risks.append(
            ("DATA LOSS", "danger", f": {words}{'' if _meant(listed, plan, 'data-loss') else ' (allow with --allow data-loss)'}.")
        )
    risks += _beside(plan)
    protected = _protected(listed)
    if protected:
        words = _named(protected, "is protected", "are protected")
        risks.append(("PROTECTED", "danger", f": {words} (allow with --allow protected)."))
    return risks


def _beside(plan: Plan) -> list[tuple[str, Tone, str]]:
    """Sentences about losses beside disks: snapshots, memory saved on disk, manual additions."""
    found: list[tuple[str, Tone, str]] = []
    losing = [action for action in plan.actions if action.loses]
    if losing:
        words = _losses([(display_name(action.resource), action.loses) for action in losing])
        named = all(named_by_command(plan, action.resource) for action in losing)
        found.append(("DATA LOSS", "danger", f": {words}{'' if named else ' (allow with --allow data-loss)'}."))
    forgetting = [display_name(action.resource) for action in plan.actions if action.forgets]
    if forgetting:
        words = _named(forgetting, "loses its saved memory", "lose their saved memory")
        found.append(("MEMORY LOST", "danger", f": {words}, as if the power was cut."))
    dropping = [(display_name(action.resource), action.drops) for action in plan.actions if action.drops]
    if dropping:
        found.append(("ADDITIONS LOST", "danger", f": {_losses(dropping)}, added by hand. Files of disks stay."))
    return found


def _losses(found: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """Each node with what it loses; of many the first."""
    words = "; ".join(f"{name} loses {joined(lost)}" for name, lost in found[:_NAMED])
    return f"{words}; {len(found) - _NAMED:,} more nodes too" if len(found) > _NAMED else words


def _meant(listed: Sequence[ResourceActions], plan: Plan, impact: Impact) -> bool:
    """True if the command named every resource with a loss of this ``impact``, which is consent."""
    return all(named_by_command(plan, entry.main.resource) for entry in listed if entry.impact == impact)


def _subjects(listed: Sequence[ResourceActions], impact: Impact) -> list[str]:
    return [display_name(entry.main.resource) for entry in listed if entry.impact == impact]


def _protected(listed: Sequence[ResourceActions]) -> list[str]:
    """The protected nodes that would go; the clusters, where only what they were granted goes."""
    broken_here = [entry.main.resource for entry in listed if breaks_protection(entry)]
    return [display_name(one) for one in broken_here if isinstance(one, Node)] or [display_name(one) for one in broken_here]


def _named(names: list[str], one: str, many: str) -> str:
    return f"{joined(names)} {one if len(names) == 1 else many}"
