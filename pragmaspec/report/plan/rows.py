"""The texts of one entry of a plan: symbol, verbs, subject, details, reason, impact, line of the spec."""

from collections.abc import Mapping, Sequence

from pragmaspec.errors import Where
from pragmaspec.planning.actions import ALREADY_STAGED, OBVIOUS_REASONS
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.diff import changed_fields
from pragmaspec.planning.impact import changed_fields_text
from pragmaspec.planning.late.members import MEMBERS_LATER
from pragmaspec.planning.plan import Action, Drift, Impact, Plan
from pragmaspec.report.plan.differences import devices_text, differences, disk_text, flavor_choice_text, grant_text, network_text
from pragmaspec.report.plan.groups import ResourceActions
from pragmaspec.report.plan.layout import PlanLine
from pragmaspec.report.style import Tone
from pragmaspec.report.unknown import shown
from pragmaspec.resources import Allocation, Node, Resource, StagedImage, Volume
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
    """Builds the lines of one plan. ``shown_drift`` is shown above them, and not repeated as a reason."""

    def __init__(self, plan: Plan, shown_drift: Sequence[Drift] = ()) -> None:
        self._drift = {drift.address: drift.detail for drift in shown_drift}
        self._spec_file = plan.spec_file
        self._sites: Mapping[str, Site] = {planned.site.name: planned.site for planned in plan.sites}
        self.images: dict[str, str] = {
            resource.digest: resource.name
            for action in plan.actions
            if isinstance(action.resource, StagedImage)
            for resource in (action.resource, action.before)
            if isinstance(resource, StagedImage)
        }
        """Names of the plan's images by digest."""
        self._removed_volumes = frozenset(
            action.address for action in plan.actions if isinstance(action.resource, Volume) and action.verb == "clean"
        )

    def line(self, entry: ResourceActions) -> PlanLine:
        """Return the line of one resource."""
        action = entry.main
        before = action.before
        changes = differences(before, action.resource, self.images) if before is not None else ()
        symbol = _symbol(entry, changes)
        reason = "" if before is not None and changes and _names_only_changes(action, before) else self._reason(action)
        if before is not None and reason == MEMBERS_LATER:
            changes, reason = (MEMBERS_LATER,), ""
        protected = breaks_protection(entry)
        return PlanLine(
            symbol=symbol,
            verbs=", ".join(entry.verbs),
            brief=short_verb(entry.verbs),
            subject=display_name(action.resource),
            details=self._details(action, changes),
            reason=reason,
            obvious=reason in OBVIOUS_REASONS,
            impact=", ".join(filter(None, (IMPACT_LABELS[entry.impact], "PROTECTED" if protected else ""))),
            position=source_line(action.where, self._spec_file),
            tone=_SYMBOL_TONES[symbol],
            impact_tone="danger" if protected else _IMPACT_TONES[entry.impact],
            node=action.resource if isinstance(action.resource, Node) and action.verb == "boot" else None,
        )

    def _reason(self, action: Action) -> str:
        return "drift" if self._drift.get(action.address) == action.reason else action.reason

    def _details(self, action: Action, changes: tuple[str, ...]) -> str:
        resource = action.resource
        if action.verb == "shutdown":
            return "running → off" if isinstance(action.before, Node) and action.before.running else "off"
        if action.verb != "clean" and changes:
            return " · ".join((*changes, *filter(None, (action.way,))) if isinstance(resource, Node) else changes)
        if action.verb == "boot" and action.way:
            return action.way
        if isinstance(resource, Volume):
            return f"{size(resource.size_bytes)} volume{f' at {resource.site}' if len(self._sites) > 1 else ''}"
        if action.verb in ("update", "record") and not isinstance(resource, Allocation):
            return ""
        if isinstance(resource, StagedImage):
            return self._image_details(action, resource)
        if isinstance(resource, Allocation):
            return " · ".join((*map(grant_text, resource.public), *map(network_text, resource.networks)))
        if action.verb != "clean":
            return _node_details(resource, with_disk=False)
        kept = (
            f"keeps volume {name}" for name in resource.volumes if f"{resource.site}/volume/{name}" not in self._removed_volumes
        )
        return " · ".join((_node_details(resource, with_disk=True), *kept))

    def _image_details(self, action: Action, image: StagedImage) -> str:
        preposition = "from" if action.verb == "clean" else "in" if action.reason == ALREADY_STAGED else "into"
        site = self._sites.get(image.site)
        target = f"pool {site.pool}" if isinstance(site, LibvirtSite) else image.site
        if image.in_place:
            return f"stays at {target}" if action.verb == "clean" else f"{image.site_name} · id {image.site_image}"
        if image.site_image and action.verb == "stage" and action.reason != ALREADY_STAGED:
            return f"{size(image.size_bytes)} copied in {target} from {image.site_name}"
        return f"{size(image.size_bytes)} {preposition} {target}" + (f" · {action.way}" if action.way else "")


def short_verb(verbs: tuple[str, ...]) -> str:
    """Return one word for the result of ``verbs``."""
    if "boot" in verbs and len(verbs) > 1:
        return "rebuild" if "clean" in verbs else "reboot" if "shutdown" in verbs else "boot"
    return verbs[-1]


def breaks_protection(entry: ResourceActions) -> bool:
    """True if the entry removes a resource that is recorded as protected."""
    before = entry.main.before
    removes = "clean" in entry.verbs or entry.discards
    return removes and isinstance(before, (Allocation, Node)) and before.protect


def display_name(resource: Resource) -> str:
    """Return the name of a node, a volume or an image, or the cluster of an allocation."""
    return resource.cluster if isinstance(resource, Allocation) else resource.name


def source_line(where: Where | None, spec_file: str) -> str:
    """Return ``line 12`` for the spec itself, ``sites.yaml:4`` for another file."""
    if where is None:
        return ""
    if where.file == spec_file:
        return f"line {where.line}"
    return f"{where.file.rsplit('/', 1)[-1]}:{where.line}"


def _names_only_changes(action: Action, before: Resource) -> bool:
    """True if the reason only names the fields that the differences show."""
    fields = changed_fields(before, action.resource)
    return bool(fields) and action.reason == changed_fields_text(fields)


def _symbol(entry: ResourceActions, changes: tuple[str, ...]) -> str:
    verb = entry.main.verb
    if entry.impact == "rebuild" or entry.verbs[-2:] == ("clean", "boot"):
        return "-/+"
    if verb == "clean":
        return "-"
    if verb == "boot" and entry.main.before is None:
        return "+"
    if verb in ("shutdown", "update", "record") or changes or len(entry.verbs) > 1 or (entry.main.way and verb == "boot"):
        return "~"
    return "+"


def _node_details(node: Node, *, with_disk: bool) -> str:
    private = node.nic("private")
    parts = [flavor_choice_text(node)] if node.flavor and not with_disk else []
    parts += [counted(node.cpus, "cpu"), memory(node.memory_mib)]
    if not with_disk and node.cpu:
        parts.append(f"cpu {node.cpu}")
    parts += [f"pinned to {cpu_ranges(node.pinned)}"] if node.pinned else []
    parts += [devices_text(node.devices)] if node.devices else []
    if with_disk:
        parts.append(f"{size(node.disk_bytes)} disk")
        parts += map(disk_text, node.own_disks)
    elif node.disks:
        parts += map(disk_text, node.disks)
    if private is not None:
        parts.append(private.address or f"address {shown(private.address)}")
    if not with_disk:
        parts += ["UEFI"] if node.firmware == "uefi" else []
        parts += ["autostart"] if node.autostart else []
    return " · ".join(parts)
