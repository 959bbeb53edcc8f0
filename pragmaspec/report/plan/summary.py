"""The last lines of a plan: numbers of actions, bytes to transfer, and risks."""

from collections import Counter
from collections.abc import Sequence

from pragmaspec.planning.actions import ALREADY_STAGED
from pragmaspec.planning.plan import Impact, Plan
from pragmaspec.planning.safety import disks_text, named_by_command, volume_text
from pragmaspec.report.plan.groups import ResourceActions
from pragmaspec.report.plan.layout import wrap_sentences
from pragmaspec.report.plan.rows import breaks_protection, display_name, short_verb
from pragmaspec.report.style import Style, Tone
from pragmaspec.resources import Node, StagedImage, Volume
from pragmaspec.text import joined, size

_NAMED = 3
_VERB_TEXTS = {
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
_Sentence = tuple[str, Tone, str]
"""A sentence's beginning, the tone of the beginning, and the rest."""


def summary_lines(entries: Sequence[ResourceActions], plan: Plan, style: Style, width: int) -> list[str]:
    """Return ``Plan: …``, and a line per risk."""
    counts = f"{'Partial plan' if plan.partial else 'Plan'}: {_counts(entries, plan)}."
    risks = _risks(entries, plan)
    sentences: list[_Sentence] = [(counts, "bold", "" if risks else " Nothing is rebooted, rebuilt or lost."), *risks]
    return [line for sentence in sentences for line in _wrapped(*sentence, style, width)]


def _wrapped(beginning: str, tone: Tone, rest: str, style: Style, width: int) -> list[str]:
    painted = len(style.safe(beginning))
    lines = []
    for text in wrap_sentences(style.safe(beginning + rest), width):
        lines.append(style.paint(text[:painted], tone) + text[painted:])
        painted = max(0, painted - len(text) - 1)
    return lines


def _counts(entries: Sequence[ResourceActions], plan: Plan) -> str:
    counts = {**dict.fromkeys(_VERB_TEXTS, 0), "move": len(plan.moves)}
    for verbs, count in Counter(entry.verbs for entry in entries).items():
        counts["shutdown clean" if verbs == ("shutdown", "clean") else short_verb(verbs)] += count
        counts["update"] += count if "update" in verbs and len(verbs) > 1 else 0  # after a boot
    transfer = _transfer_bytes(entries)
    suffixes = {"stage": f" ({size(transfer)} to transfer)" if transfer else ""}
    return ", ".join(f"{count:,} {_VERB_TEXTS[verb]}{suffixes.get(verb, '')}" for verb, count in counts.items() if count)


def _transfer_bytes(entries: Sequence[ResourceActions]) -> int:
    """Return the size of the images to transfer, without those that another stack has staged already."""
    return sum(
        entry.main.resource.transfer_bytes
        for entry in entries
        if entry.main.verb == "stage" and isinstance(entry.main.resource, StagedImage) and entry.main.reason != ALREADY_STAGED
    )


def _risks(entries: Sequence[ResourceActions], plan: Plan) -> list[_Sentence]:
    risks: list[_Sentence] = []
    rebooted = _names(entries, "reboot")
    stopped = [display_name(entry.main.resource) for entry in entries if entry.verbs == ("shutdown",)]
    interruptions = [f"Reboots {joined(rebooted)}."] if rebooted else []
    interruptions += [f"Stops {joined(stopped)}."] if stopped else []
    if interruptions:
        risks.append(("", "plain", " ".join(interruptions)))
    rebuilt = _names(entries, "rebuild")
    if rebuilt:
        text = _with_verb(rebuilt, "gets a new disk", "get new disks")
        risks.append(("REBUILD", "danger", f": {text}{_consent_text(entries, plan, 'rebuild')}."))
    lost = [entry for entry in entries if entry.impact == "data-loss"]
    volumes = [entry for entry in lost if isinstance(entry.main.resource, Volume)]
    removed = [display_name(entry.main.resource) for entry in lost if "clean" in entry.verbs and entry not in volumes]
    if removed:
        text = _with_verb(removed, "is removed with its disk", "are removed with their disks")
        nodes = [entry for entry in lost if entry not in volumes]
        risks.append(("DATA LOSS", "danger", f": {text}{_consent_text(nodes, plan, 'data-loss')}."))
    risks += _volume_losses(volumes, plan)
    risks += _other_losses(plan)
    protected = _protected_names(entries)
    if protected:
        text = _with_verb(protected, "is protected", "are protected")
        risks.append(("PROTECTED", "danger", f": {text} (allow with --allow protected)."))
    return risks


def _volume_losses(volumes: Sequence[ResourceActions], plan: Plan) -> list[_Sentence]:
    removed = [volume_text(entry.main.resource, plan) for entry in volumes if entry.main.verb == "clean"]
    lost = [volume_text(entry.main.resource, plan) for entry in volumes if entry.main.verb != "clean"]
    texts = [_with_verb(removed, "is removed", "are removed")] if removed else []
    texts += [_with_verb(lost, "is gone and created anew, empty", "are gone and created anew, empty")] if lost else []
    return [("DATA LOSS", "danger", f": {text} (allow with --allow data-loss).") for text in texts]


def _other_losses(plan: Plan) -> list[_Sentence]:
    """Return sentences about losses besides disks: snapshots, saved memory, manual additions."""
    found: list[_Sentence] = []
    losing = [action for action in plan.actions if action.loses]
    if losing:
        text = _losses_text([(display_name(action.resource), action.loses) for action in losing])
        named = all(named_by_command(plan, action.resource) for action in losing)
        found.append(("DATA LOSS", "danger", f": {text}{'' if named else ' (allow with --allow data-loss)'}."))
    discarding = [action for action in plan.actions if action.discards]
    if discarding:
        text = _losses_text([(display_name(each.resource), (disks_text(each.discards),)) for each in discarding])
        named = all(named_by_command(plan, action.resource) for action in discarding)
        found.append(("DATA LOSS", "danger", f": {text}{'' if named else ' (allow with --allow data-loss)'}."))
    forgetting = [display_name(action.resource) for action in plan.actions if action.forgets]
    if forgetting:
        text = _with_verb(forgetting, "loses its saved memory", "lose their saved memory")
        found.append(("MEMORY LOST", "danger", f": {text}, as in a power cut."))
    dropping = [(display_name(action.resource), action.drops) for action in plan.actions if action.drops]
    if dropping:
        found.append(("ADDITIONS LOST", "danger", f": {_losses_text(dropping)}, added by hand. Disk files are kept."))
    return found


def _losses_text(losses: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """Return the losses of the first nodes, and the number of the others."""
    text = "; ".join(f"{name} loses {joined(lost)}" for name, lost in losses[:_NAMED])
    return f"{text}; {len(losses) - _NAMED:,} more nodes too" if len(losses) > _NAMED else text


def _consent_text(entries: Sequence[ResourceActions], plan: Plan, impact: Impact) -> str:
    """Return the required option, unless the command names every resource with this ``impact``."""
    if all(named_by_command(plan, entry.main.resource) for entry in entries if entry.impact == impact):
        return ""
    return f" (allow with --allow {impact})"


def _names(entries: Sequence[ResourceActions], impact: Impact) -> list[str]:
    return [display_name(entry.main.resource) for entry in entries if entry.impact == impact]


def _protected_names(entries: Sequence[ResourceActions]) -> list[str]:
    """Return the protected nodes that are removed; the clusters, if only allocations are."""
    removed = [entry.main.resource for entry in entries if breaks_protection(entry)]
    return [display_name(each) for each in removed if isinstance(each, Node)] or [display_name(each) for each in removed]


def _with_verb(names: list[str], singular: str, plural: str) -> str:
    return f"{joined(names)} {singular if len(names) == 1 else plural}"
