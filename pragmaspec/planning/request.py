"""Options of one plan: its scope, and what overrides the spec."""

from pragmaspec.frozen import Frozen


class PlanRequest(Frozen, frozen=True):
    """Narrows or overrides the spec for one plan."""

    targets: tuple[str, ...] = ()
    """Resources to plan: addresses, leading parts of addresses, names or patterns (:mod:`pragmaspec.planning.targets`)."""
    exclude: tuple[str, ...] = ()
    """Resources to leave out, as in ``targets``."""
    replace: tuple[str, ...] = ()
    """Nodes to rebuild although they have not changed, as in ``targets``."""
    running: tuple[tuple[str, bool], ...] = ()
    """Clusters to switch on or off, against the spec if need be; nothing else of them changes
    (:mod:`pragmaspec.planning.power_only`)."""
    drop: tuple[str, ...] = ()
    """Clusters to remove although the spec has them."""
    drop_volumes: tuple[str, ...] = ()
    """Addresses of volumes to remove. Without ``only_clusters``, the plan concerns nothing else."""
    only_clusters: tuple[str, ...] = ()
    """The clusters to plan; empty: all."""
    accept_missing: bool = False
    """Recreate objects although many have vanished from a site at once, or the site's identity has changed."""
    prune_images: bool = False
    """Also remove images that no node of any stack uses (:mod:`pragmaspec.planning.images.prune`)."""

    def wants_running(self, cluster: str, otherwise: bool) -> bool:
        """True if ``cluster`` should run: from this request, else ``otherwise``."""
        return dict(self.running).get(cluster, otherwise)

    def switches(self, cluster: str) -> bool:
        """True if this request switches ``cluster`` on or off."""
        return any(name == cluster for name, _ in self.running)

    def concerns(self, cluster: str) -> bool:
        """True if ``cluster`` is in the scope of this plan."""
        return cluster in self.only_clusters or not (self.only_clusters or self.drop_volumes)
