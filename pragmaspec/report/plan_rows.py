"""One action as the cells of its line: symbol, verb, subject, details, reason, impact, spec line."""

from collections.abc import Mapping

from pragmaspec.errors import Where
from pragmaspec.planning.plan import Action, Impact, Plan
from pragmaspec.recorded import Allocation, Node, Resource, StagedImage
from pragmaspec.report import units
from pragmaspec.report.differences import differences, grant_words, network_words
from pragmaspec.report.pen import Tone
from pragmaspec.report.plan_groups import Entry
from pragmaspec.report.table import Cell
from pragmaspec.site import LibvirtSite, Site

IMPACT_WORDS: dict[Impact, str] = {
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


class PlanWords:
    """Looks up what lines of one plan have in common: names of images, options of sites."""

    def __init__(self, plan: Plan) -> None:
        self.spec_file = plan.spec_file
        self.images: dict[str, str] = {
            resource.digest: resource.name
            for action in plan.actions
            if isinstance(action.resource, StagedImage)
            for resource in (action.resource, action.before)
            if isinstance(resource, StagedImage)
        }
        self.sites: Mapping[str, Site] = {planned.site.name: planned.site for planned in plan.sites}

    def row(self, entry: Entry) -> tuple[Cell, ...]:
        """The seven cells of the entry's line."""
        action = entry.main
        changes = differences(action.before, action.resource, self.images) if action.before is not None else ()
        symbol = _symbol(entry, changes)
        return (
            Cell(text=symbol, tone=_SYMBOL_TONES[symbol]),
            Cell(text=", ".join(entry.verbs), tone=_SYMBOL_TONES[symbol]),
            Cell(text=subject(action.resource), tone="bold"),
            Cell(text=self._details(action, changes)),
            Cell(text=action.reason),
            Cell(text=IMPACT_WORDS[entry.impact], tone=_IMPACT_TONES[entry.impact]),
            Cell(text=place(action.where, self.spec_file), tone="dim"),
        )

    def _details(self, action: Action, changes: tuple[str, ...]) -> str:
        resource = action.resource
        if action.verb == "shutdown":
            return "running → off"
        if action.verb != "clean" and changes:
            return " · ".join(changes)
        if isinstance(resource, StagedImage):
            return (
                f"{units.size(resource.transfer_bytes)} {self._pool(resource.site, 'from' if action.verb == 'clean' else 'into')}"
            )
        if isinstance(resource, Allocation):
            return " · ".join(
                (*(grant_words(grant) for grant in resource.public), *(network_words(network) for network in resource.networks))
            )
        if action.verb in ("update", "record"):
            return ""
        return _machine(resource, with_disk=action.verb == "clean")

    def _pool(self, site: str, word: str) -> str:
        options = self.sites.get(site)
        return f"{word} pool {options.pool}" if isinstance(options, LibvirtSite) else f"{word} {site}"


def _symbol(entry: Entry, changes: tuple[str, ...]) -> str:
    verb = entry.main.verb
    if entry.impact == "rebuild" or entry.verbs[-2:] == ("clean", "boot"):
        return "-/+"
    if verb == "clean":
        return "-"
    if verb in ("shutdown", "update", "record") or changes or len(entry.verbs) > 1:
        return "~"
    return "+"


def subject(resource: Resource) -> str:
    """The name a person calls the resource by."""
    return resource.cluster if isinstance(resource, Allocation) else resource.name


def place(where: Where | None, spec_file: str) -> str:
    """``line 12`` in the spec itself, ``sites.yaml:4`` in another file."""
    if where is None:
        return ""
    if where.file == spec_file:
        return f"line {where.line}"
    return f"{where.file.rsplit('/', 1)[-1]}:{where.line}"


def _machine(node: Node, *, with_disk: bool) -> str:
    private = node.nic("private")
    parts = [units.cpus(node.cpus), units.memory(node.memory_mib)]
    if with_disk:
        parts.append(f"{units.size(node.disk_bytes)} disk")
    if private is not None:
        parts.append(private.address)
    return " · ".join(parts)
