"""The nodes of a cluster in the spec: the frontend, the computes, the groups, and single nodes that differ."""

from collections.abc import Iterator
from dataclasses import dataclass

from pragmaspec.spec.models.cluster import ClusterModel, NodesModel, RoleModel


@dataclass(frozen=True)
class NodeSet:
    """Nodes with common settings: ``name`` is ``frontend``, ``compute`` or that of a group; ``path`` begins in the cluster."""

    name: str
    path: tuple[str, ...]
    nodes: RoleModel

    @property
    def count(self) -> int:
        """Number of nodes."""
        return self.nodes.count if isinstance(self.nodes, NodesModel) else 1


@dataclass(frozen=True)
class NodeEntry:
    """A mapping of the spec with settings of nodes: those of a whole set, or those in which one node differs."""

    path: tuple[str, ...]
    nodes: RoleModel
    set: NodeSet


def node_sets(cluster: ClusterModel) -> tuple[NodeSet, ...]:
    """Return the frontend, the computes and the groups of ``cluster``, in this order."""
    return (
        NodeSet("frontend", ("frontend",), cluster.frontend),
        NodeSet("compute", ("computes",), cluster.computes),
        *(NodeSet(name, ("groups", name), group) for name, group in cluster.groups.items()),
    )


def node_entries(cluster: ClusterModel) -> Iterator[NodeEntry]:
    """Yield the entries of every set, followed by its overrides."""
    for each in node_sets(cluster):
        yield NodeEntry(each.path, each.nodes, each)
        if isinstance(each.nodes, NodesModel):
            for index, override in each.nodes.overrides.items():
                yield NodeEntry((*each.path, "overrides", str(index)), override, each)


def image_of(cluster: ClusterModel, entry: NodeEntry) -> str:
    """Return the name of the image that the nodes of ``entry`` boot, or "". That of an empty set is the frontend's."""
    fallback = cluster.frontend.image if entry.set.count == 0 else None
    return entry.nodes.image or entry.set.nodes.image or cluster.image or fallback or ""


def images_of(cluster: ClusterModel) -> frozenset[str]:
    """Return the names of all images in ``cluster``."""
    return frozenset(image_of(cluster, entry) for entry in node_entries(cluster))
