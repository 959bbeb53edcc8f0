"""The last two lines of a plan: how much is to be done, and what is at risk."""

from collections import Counter
from collections.abc import Sequence

from pragmaspec.planning.plan import Impact
from pragmaspec.report import units
from pragmaspec.report.pen import Pen
from pragmaspec.report.plan_groups import Entry
from pragmaspec.report.plan_rows import subject

_DOING: tuple[tuple[tuple[str, ...], str], ...] = (
    (("stage",), "to stage"),
    (("allocate",), "to allocate"),
    (("boot",), "to boot"),
    (("update",), "to update"),
    (("shutdown", "boot"), "to reboot"),
    (("shutdown", "clean", "boot"), "to rebuild"),
    (("clean", "boot"), "to rebuild"),
    (("shutdown",), "to shut down"),
    (("shutdown", "clean"), "to shut down and clean"),
    (("clean",), "to clean"),
    (("record",), "to record"),
)
_NAMED = 3


def summary_lines(listed: Sequence[Entry], pen: Pen, *, partial: bool) -> list[str]:
    """``Plan: …`` with what is at risk, on one line when nothing is, else on two."""
    doing = f"Plan{' for a part of the stack' if partial else ''}: {_counts(listed)}."
    risks = _risks(listed, pen)
    if not risks:
        return [f"{pen.paint(pen.say(doing), 'bold')} Nothing is rebooted, rebuilt or lost."]
    return [pen.paint(pen.say(doing), "bold"), " ".join(risks)]


def _counts(listed: Sequence[Entry]) -> str:
    words = dict(_DOING)
    counts = dict.fromkeys(words.values(), 0)
    for verbs, count in Counter(entry.verbs for entry in listed).items():
        doing = words.get(verbs, f"to {' and '.join(verbs)}")
        counts[doing] = counts.get(doing, 0) + count
    return ", ".join(f"{count:,} {doing}" for doing, count in counts.items() if count)


def _risks(listed: Sequence[Entry], pen: Pen) -> list[str]:
    risks = []
    risky = [entry for entry in listed if entry.impact != "none" or entry.verbs == ("shutdown",)]
    reboots = sum(entry.impact == "reboot" for entry in risky)
    if reboots:
        risks.append(f"Reboots {units.counted(reboots, 'node')}.")
    stopped = sum(entry.verbs == ("shutdown",) for entry in risky)
    if stopped:
        risks.append(f"Stops {units.counted(stopped, 'node')}.")
    rebuilt = _subjects(risky, "rebuild")
    if rebuilt:
        words = _named(rebuilt, pen, "gets a new disk", "get new disks")
        risks.append(f"{pen.paint('REBUILD', 'danger')}: {words} (allow with --allow rebuild).")
    lost = _subjects(risky, "data-loss")
    if lost:
        words = _named(lost, pen, "is removed with its disk", "are removed with their disks")
        risks.append(f"{pen.paint('DATA LOSS', 'danger')}: {words} (allow with --allow data-loss).")
    return risks


def _subjects(listed: Sequence[Entry], impact: Impact) -> list[str]:
    return [subject(entry.main.resource) for entry in listed if entry.impact == impact]


def _named(names: list[str], pen: Pen, one: str, many: str) -> str:
    if len(names) == 1:
        return f"{pen.say(names[0])} {one}"
    shown = names if len(names) <= _NAMED + 1 else [*names[:_NAMED], f"{len(names) - _NAMED:,} more"]
    return f"{pen.say(', '.join(shown[:-1]))} and {pen.say(shown[-1])} {many}"
