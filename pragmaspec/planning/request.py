"""What part of the spec a plan is asked for."""

from pragmaspec.frozen import Frozen


class PlanRequest(Frozen, frozen=True):
    """Narrows or overrides what the spec wants, for one plan.

    ``targets``, ``exclude`` and ``replace`` are addresses, parts of addresses or patterns (see
    :mod:`pragmaspec.planning.targets`); nodes to ``replace`` are made anew though nothing about them has changed.
    ``running`` says of clusters that they shall run or be off, whatever the spec says, and that nothing else of them shall be
    changed (see :mod:`pragmaspec.planning.power_only`); ``drop`` names clusters to be removed
    though the spec still wants them; ``only_clusters`` leaves every other cluster alone. ``accept_missing``: a site from which a
    large part of what is recorded has vanished at once is believed, and what vanished is made anew. ``prune_images``: also remove
    images that no node of any stack uses (see :mod:`pragmaspec.planning.images.prune`).
    """

    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    running: tuple[tuple[str, bool], ...] = ()
    drop: tuple[str, ...] = ()
    only_clusters: tuple[str, ...] = ()
    accept_missing: bool = False
    prune_images: bool = False

    def wants_running(self, cluster: str, otherwise: bool) -> bool:
        """True if ``cluster`` is to run: as this request says, else ``otherwise``."""
        return dict(self.running).get(cluster, otherwise)

    def switches(self, cluster: str) -> bool:
        """True if this request switches ``cluster`` on or off."""
        return any(name == cluster for name, _ in self.running)

    def concerns(self, cluster: str) -> bool:
        """Whether ``cluster`` is part of this plan."""
        return not self.only_clusters or cluster in self.only_clusters
