"""The plan as a value: actions in dependency order, each with its reason and its impact."""

from typing import Literal

import msgspec

from pragmaspec.errors import Problem, Where
from pragmaspec.frozen import Frozen
from pragmaspec.planning.observed import SiteIdentity
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Resource
from pragmaspec.site import Site

PLAN_FORMAT = 1

Verb = Literal["allocate", "stage", "boot", "update", "shutdown", "clean", "record"]
"""The five verbs of a provider, and two of the engine's own: ``update`` changes a running guest over ssh,
``record`` only writes down (nothing at the site changes)."""

Impact = Literal["none", "live", "reboot", "rebuild", "data-loss"]
"""What happens to what is there: nothing; changed live; stopped and started; its disk made anew; removed with its disk."""


class Action(Frozen, frozen=True):
    """One thing to do. ``after`` names the keys of the actions it waits for."""

    verb: Verb
    resource: Resource
    reason: str
    before: Resource | None = None
    """The recorded resource that this action changes or removes; None for something new."""
    generation: int = 0
    impact: Impact = "none"
    where: Where | None = None
    after: tuple[str, ...] = ()
    way: str = ""
    """How it is done, for people, where there is more than one way: how an image gets to its site
    (:mod:`pragmaspec.planning.images.routes`), what a boot does to a machine that is there
    (:mod:`pragmaspec.planning.drift.condition`)."""
    loses: tuple[str, ...] = ()
    """Losses beside the disk, in words: snapshots whose files are no longer used. Only with consent to lose data."""
    remedy: str = ""
    """How to prevent these losses by hand."""
    drops: tuple[str, ...] = ()
    """Manual additions that this action removes from the machine, in words. Files of disks stay."""
    forgets: bool = False
    """True if the machine's memory, which is saved on disk, is discarded, as by a power cut."""

    @property
    def address(self) -> str:
        """The address of the resource acted on."""
        return self.resource.address

    @property
    def key(self) -> str:
        """Unique in a plan: ``boot lab/hello/node/hello-frontend``."""
        return f"{self.verb} {self.resource.address}"


DriftKind = Literal[
    "gone", "undefined", "off", "running", "changed", "disk-gone", "unrecorded", "paused", "crashed", "saved", "snapshot", "added"
]
INFORMATIONAL_KINDS: frozenset[DriftKind] = frozenset(("unrecorded", "snapshot", "added"))
"""Drift that is only told: no action ends it."""


class Drift(Frozen, frozen=True):
    """A difference between what is recorded and what is at the site now."""

    address: str
    detail: str
    """For people: ``is gone from the site``, ``is off, recorded as running``."""
    kind: DriftKind
    name: str = ""
    """What people call it, where the address does not say: an image's name."""
    added: bool = False
    """True if it includes manual additions to a machine: kept, unless an action ``drops`` them."""


Until = Literal["apply", "running"]
"""How long a change waits: for the next apply, or until its cluster runs again."""


class PendingChange(Frozen, frozen=True):
    """A change that the spec asks for and this plan leaves, because it touches the power of the cluster alone."""

    address: str
    reason: str
    """For people: ``disk and image changed``, ``no longer wanted``."""
    impact: Impact = "none"
    until: Until = "apply"
    where: Where | None = None


class PlannedSite(Frozen, frozen=True):
    """A site as this plan saw it; ``identity`` is None when it was not asked."""

    site: Site
    identity: SiteIdentity | None = None


class Plan(Frozen, frozen=True):
    """What apply will do, bound to what it was computed from: state (lineage, serial, digest), spec digest and sites."""

    lineage: str
    serial: int
    state_sha256: str
    spec_file: str
    spec_sha256: str
    format: int = PLAN_FORMAT
    tool: str = ""
    """Version of pragmaspec that made it."""
    sites: tuple[PlannedSite, ...] = ()
    actions: tuple[Action, ...] = ()
    drift: tuple[Drift, ...] = ()
    partial: bool = False
    """Whether --target or --exclude left something out."""
    fingerprints: tuple[tuple[str, str], ...] | None = None
    """What was seen of the objects that are touched (:mod:`pragmaspec.planning.fingerprint`); None: nobody looked."""
    named: tuple[str, ...] = ()
    """Clusters whose removal the command itself asked for by name: no further consent is needed to lose their disks."""
    replaced: tuple[str, ...] = ()
    """Addresses of nodes that the command itself asked to be made anew: no further consent is needed to lose their disks."""
    moves: tuple[Move, ...] = ()
    """Names that change. They are recorded before the first action, which all go by the new names."""
    likely_moves: tuple[Move, ...] = ()
    """What may have been meant, where something goes and something of the same shape comes."""
    warnings: tuple[Problem, ...] = ()
    """Of the spec, without the quoted lines, which may be private: they prevent nothing."""
    need: tuple[str, ...] | None = None
    """The clusters of which all that the spec points to was read; None: all clusters."""
    pending: tuple[PendingChange, ...] = ()
    """Changes left for later, which applying this plan does not make."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.actions and not self.moves


def encode_plan(plan: Plan) -> bytes:
    """The plan as JSON, one line, keys in a stable order."""
    return msgspec.json.encode(plan, order="sorted")


def decode_plan(data: bytes) -> Plan:
    """The plan in ``data``. Raises ``msgspec.MsgspecError`` when it is not one."""
    return msgspec.json.decode(data, type=Plan)
