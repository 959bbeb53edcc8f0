"""One entry of a plan in words: symbol, verbs, subject, details, reason, impact, spec line."""

from collections.abc import Mapping, Sequence

from pragmaspec.errors import Where
from pragmaspec.planning.actions import ALREADY_STAGED, OBVIOUS_REASONS
from pragmaspec.planning.diff import changed_fields
from pragmaspec.planning.impact import changed_fields_text
from pragmaspec.planning.plan import Action, Drift, Impact, Plan
from pragmaspec.report.plan.differences import differences, grant_text, network_text
from pragmaspec.report.plan.groups import ResourceActions
from pragmaspec.report.plan.layout import PlanLine
from pragmaspec.report.style import Tone
from pragmaspec.resources import Allocation, Node, Resource, StagedImage
from pragmaspec.site import LibvirtSite, Site
from pragmaspec.text import counted, memory, size

IMPACT_LABELS: dict[Impact, str] = {
    "none": "",
    "live": "live",
    "reboot": "reboot",
    "rebuild": "REBUILD",
    "data-loss": "DATA LOSS",
}
_IMPACT_TONES: dict[Impact, Tone] = {
    "none": "plain",
    "live": "plain",
    "reboot": "change",
    "rebuild": "danger",
    "data-loss": "danger",
}
_SYMBOL_TONES: dict[str, Tone] = {"+": "add", "~": "change", "-": "remove", "-/+": "danger"}


class PlanLines:
    """Looks up what lines of one plan have in common: names of images, options of sites, drift that is ``told`` above them."""

    def __init__(self, plan: Plan, told: Sequence[Drift] = ()) -> None:
        self._told = {drift.address: drift.detail for drift in told}
        self.spec_file = plan.spec_file
        self.images: dict[str, str] = {
            resource.digest: resource.name
            for action in plan.actions
            if isinstance(action.resource, StagedImage)
            for resource in (action.resource, action.before)
            if isinstance(resource, StagedImage)
        }
        self.sites: Mapping[str, Site] = {planned.site.name: planned.site for planned in plan.sites}

    def line(self, entry: ResourceActions) -> PlanLine:
        """What the entry's line says."""
        action = entry.main
        before = action.before
        changes = differences(before, action.resource, self.images) if before is not None else ()
        symbol = _symbol(entry, changes)
        reason = "" if before is not None and changes and _says_only(action, before) else self._reason(action)
        return PlanLine(
            symbol=symbol,
            verbs=", ".join(entry.verbs),
            brief=short_verb(entry.verbs),
            subject=display_name(action.resource),
            details=self._details(action, changes),
            reason=reason,
            plain=reason in OBVIOUS_REASONS,
            impact=", ".join(filter(None, (IMPACT_LABELS[entry.impact], "PROTECTED" if breaks_protection(entry) else ""))),
            place=source_line(action.where, self.spec_file),
            tone=_SYMBOL_TONES[symbol],
            impact_tone="danger" if breaks_protection(entry) else _IMPACT_TONES[entry.impact],
            node=action.resource if isinstance(action.resource, Node) and action.verb == "boot" else None,
        )

    def _reason(self, action: Action) -> str:
        return "drift" if self._told.get(action.address) == action.reason else action.reason

    def _details(self, action: Action, changes: tuple[str, ...]) -> str:
        resource = action.resource
        if action.verb == "shutdown":
            return "running → off" if isinstance(action.before, Node) and action.before.running else "off"
        if action.verb != "clean" and changes:
            return " · ".join((*changes, *filter(None, (action.way,))) if isinstance(resource, Node) else changes)
        if action.verb == "boot" and action.way:
            return action.way
        if action.verb in ("update", "record") and not isinstance(resource, Allocation):
            return ""
        if isinstance(resource, StagedImage):
            word = "from" if action.verb == "clean" else "in" if action.reason == ALREADY_STAGED else "into"
            way = f" · {action.way}" if action.way else ""
            return f"{size(resource.transfer_bytes)} {self._pool(resource.site, word)}{way}"
        if isinstance(resource, Allocation):
            return " · ".join(
                (*(grant_text(grant) for grant in resource.public), *(network_text(network) for network in resource.networks))
            )
        return _machine(resource, with_disk=action.verb == "clean")

    def _pool(self, site: str, word: str) -> str:
        options = self.sites.get(site)
        return f"{word} pool {options.pool}" if isinstance(options, LibvirtSite) else f"{word} {site}"


def short_verb(verbs: tuple[str, ...]) -> str:
    """The one word that says what comes of ``verbs``."""
    if "boot" in verbs and len(verbs) > 1:
        return "rebuild" if "clean" in verbs else "reboot" if "shutdown" in verbs else "boot"
    return verbs[-1]


def breaks_protection(entry: ResourceActions) -> bool:
    """Whether something goes that is protected, as recorded."""
    before = entry.main.before
    return "clean" in entry.verbs and isinstance(before, (Allocation, Node)) and before.protect


def _says_only(action: Action, before: Resource) -> bool:
    """Whether the reason is nothing but the names of what the differences show."""
    fields = changed_fields(before, action.resource)
    return bool(fields) and action.reason == changed_fields_text(fields)


def _symbol(entry: ResourceActions, changes: tuple[str, ...]) -> str:
    verb = entry.main.verb
    if entry.impact == "rebuild" or entry.verbs[-2:] == ("clean", "boot"):
        return "-/+"
    if verb == "clean":
        return "-"
    if verb in ("shutdown", "update", "record") or changes or len(entry.verbs) > 1 or (entry.main.way and verb == "boot"):
        return "~"
    return "+"


def display_name(resource: Resource) -> str:
    """The name a person calls the resource by."""
    return resource.cluster if isinstance(resource, Allocation) else resource.name


def source_line(where: Where | None, spec_file: str) -> str:
    """``line 12`` in the spec itself, ``sites.yaml:4`` in another file."""
    if where is None:
        return ""
    if where.file == spec_file:
        return f"line {where.line}"
    return f"{where.file.rsplit('/', 1)[-1]}:{where.line}"


def _machine(node: Node, *, with_disk: bool) -> str:
    private = node.nic("private")
    parts = [counted(node.cpus, "cpu"), memory(node.memory_mib)]
    if with_disk:
        parts.append(f"{size(node.disk_bytes)} disk")
    if private is not None:
        parts.append(private.address)
    return " · ".join(parts)
