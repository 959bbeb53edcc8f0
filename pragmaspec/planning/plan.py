"""The plan: actions in dependency order, each with its reason and impact."""

from typing import Literal

from pragmaspec.errors import Problem, Where
from pragmaspec.frozen import Frozen
from pragmaspec.planning.observed import SiteIdentity
from pragmaspec.planning.wanted import Move
from pragmaspec.resources import Resource
from pragmaspec.site import Site

PLAN_FORMAT = 1

Verb = Literal["allocate", "stage", "boot", "update", "shutdown", "clean", "record"]
"""The five verbs of a provider, and two of the engine: ``update`` changes a running guest over ssh, ``record`` only writes the
state."""

Impact = Literal["none", "live", "reboot", "rebuild", "data-loss"]
"""Effect on an existing node: none; changed while it runs; stopped and started; given a new disk; removed with its disk."""


class Action(Frozen, frozen=True):
    """One call of a provider or the engine on one resource."""

    verb: Verb
    resource: Resource
    reason: str
    before: Resource | None = None
    """The recorded resource that this action changes or removes; None for a new one, and for a node that was never created."""
    generation: int = 0
    impact: Impact = "none"
    where: Where | None = None
    after: tuple[str, ...] = ()
    """Keys of the actions to complete first."""
    way: str = ""
    """Human-readable method, if there are several: the route of an image to its site
    (:mod:`pragmaspec.planning.images.routes`), the effect of a boot on an existing machine
    (:mod:`pragmaspec.planning.drift.condition`)."""
    loses: tuple[str, ...] = ()
    """Human-readable losses besides the disk: snapshots whose files are no longer used. They need consent to data loss."""
    remedy: str = ""
    """How to prevent these losses by hand."""
    drops: tuple[str, ...] = ()
    """Human-readable manual additions that this action removes from the machine. Disk files are kept."""
    forgets: bool = False
    """True if the machine's memory, which is saved on disk, is discarded, as in a power cut."""
    discards: tuple[str, ...] = ()
    """Names of further disks of a node that are removed with their data, or replaced by empty ones. They need consent to data
    loss."""

    @property
    def address(self) -> str:
        """Address of the resource."""
        return self.resource.address

    @property
    def key(self) -> str:
        """Unique name in a plan: ``boot lab/hello/node/hello-frontend``."""
        return f"{self.verb} {self.resource.address}"


DriftKind = Literal[
    "gone", "undefined", "off", "running", "changed", "disk-gone", "unrecorded", "paused", "crashed", "saved", "snapshot", "added"
]
INFORMATIONAL_KINDS: frozenset[DriftKind] = frozenset(("unrecorded", "snapshot", "added"))
"""Drift that is only reported; no action repairs it."""


class Drift(Frozen, frozen=True):
    """A difference between the recorded and the observed state of a resource."""

    address: str
    detail: str
    """Human-readable: ``is gone from the site``, ``is off, recorded as running``."""
    kind: DriftKind
    name: str = ""
    """Display name, if the address does not contain it: an image's name."""
    added: bool = False
    """True if it includes manual additions to a machine, which are kept unless an action ``drops`` them."""


Until = Literal["apply", "running"]
"""When a deferred change is made: by the next apply, or once its cluster runs again."""


class PendingChange(Frozen, frozen=True):
    """A change of the spec that this plan defers, because it changes only the power of the cluster."""

    address: str
    reason: str
    """Human-readable: ``disk and image changed``, ``no longer wanted``."""
    impact: Impact = "none"
    until: Until = "apply"
    where: Where | None = None


class PlannedSite(Frozen, frozen=True):
    """A site of a plan; ``identity`` is None if it was not observed."""

    site: Site
    identity: SiteIdentity | None = None
    default_processor: str = ""
    """The processor that this plan gives to nodes whose spec names none; empty: it makes no such node, or the site decides."""


class Plan(Frozen, frozen=True):
    """The actions of an apply, bound to their inputs: state (lineage, serial, digest), spec digest and sites."""

    lineage: str
    serial: int
    state_sha256: str
    spec_file: str
    spec_sha256: str
    format: int = PLAN_FORMAT
    tool: str = ""
    """Version of pragmaspec that made the plan."""
    sites: tuple[PlannedSite, ...] = ()
    actions: tuple[Action, ...] = ()
    drift: tuple[Drift, ...] = ()
    partial: bool = False
    """True if the plan is limited to a part of the stack."""
    fingerprints: tuple[tuple[str, str], ...] | None = None
    """Digests of the observed objects that the actions touch (:mod:`pragmaspec.planning.fingerprint`); None: not observed."""
    named: tuple[str, ...] = ()
    """Clusters that the command named for removal: consent to lose their disks."""
    replaced: tuple[str, ...] = ()
    """Addresses of nodes that the command named for a rebuild: consent to lose their disks."""
    moves: tuple[Move, ...] = ()
    """Renames, recorded before the first action. All actions use the new names."""
    likely_moves: tuple[Move, ...] = ()
    """Probable renames: a resource is removed and one of the same shape is added."""
    warnings: tuple[Problem, ...] = ()
    """Warnings, without quoted lines of the spec, which may be private."""
    need: tuple[str, ...] | None = None
    """Clusters whose referenced files were read; None: all."""
    pending: tuple[PendingChange, ...] = ()
    """Changes that applying this plan does not make."""

    @property
    def empty(self) -> bool:
        """True if the plan changes nothing."""
        return not self.actions and not self.moves
