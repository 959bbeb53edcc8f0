"""The state expected after a plan succeeds, and the guest configuration that follows from it. Pure."""

from collections.abc import Sequence

from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings, first_boot_digest, keys_digest, user_digests
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Allocation, Mark, Node, StagedImage
from pragmaspec.state_model import Record, State


def expected_state(plan: Plan, state: State) -> State:
    """Return the state after all actions of ``plan`` succeeded, without outputs that only the sites can provide."""
    changed: dict[str, Record] = {}
    removed: set[str] = set()
    for action in plan.actions:
        if action.verb == "clean":
            removed.add(action.address)
        elif action.verb != "shutdown" or not _is_intermediate(action):
            changed[action.address] = _record_after(action, state.record(action.address))
    return state.with_records(changed.values(), removed - changed.keys())


def _record_after(action: Action, earlier: Record | None) -> Record:
    """The record after ``action``. A resource of the same generation keeps its original address."""
    same = earlier is not None and earlier.generation >= action.generation
    return Record(
        resource=action.resource, generation=action.generation, origin=earlier.origin if earlier is not None and same else ""
    )


def _is_intermediate(action: Action) -> bool:
    """True if a shutdown is only the first half of a reboot or a clean, whose node is the recorded one."""
    return action.resource == action.before


class TargetState:
    """Lookups in the state that an apply aims for. One instance per apply; thread-safe: only whole clusters are replaced."""

    def __init__(self, plan: Plan, state: State, wanted: Wanted) -> None:
        self.state = expected_state(plan, state)
        self._original_addresses = {record.address: record.original_address for record in state.records}
        self._wanted = wanted
        self._resources = {record.address: record.resource for record in self.state.records}
        self._clusters: dict[tuple[str, str], GuestCluster] = {}
        self._members: dict[tuple[str, str], list[Node]] = {}
        for node in self.state.nodes():
            self._members.setdefault((node.site, node.cluster), []).append(node)
        for site, cluster in self._members:
            allocation = self._resources.get(f"{site}/{cluster}/allocation")
            if isinstance(allocation, Allocation):
                self._clusters[site, cluster] = self._guest_cluster(allocation, self._members[site, cluster])

    def allocation(self, node: Node) -> Allocation:
        """The allocation of ``node``'s cluster. Every plan has one for each node."""
        return self.cluster(node).allocation

    def allocation_created_as(self, node: Node) -> str:
        """The original address of the allocation of ``node``'s cluster."""
        address = self.allocation(node).address
        return self._original_addresses.get(address, address)

    def volume_marks(self, node: Node) -> tuple[tuple[str, Mark], ...]:
        """The names and marks of the volumes of ``node``."""
        if not node.disks:
            return ()
        marks = []
        for name in node.volumes:
            record = self.state.record(f"{node.site}/volume/{name}")
            if record is not None:
                marks.append((name, record.mark(self.state.lineage)))
        return tuple(marks)

    def cluster(self, node: Node) -> GuestCluster:
        """The cluster of ``node`` as its guests see it; the same object for all its nodes."""
        return self._clusters[node.site, node.cluster]

    def learn(self, allocation: Allocation, nodes: Sequence[Node]) -> None:
        """Replace a cluster by the one with the values that its site has chosen since the plan was made."""
        self._clusters[allocation.site, allocation.cluster] = self._guest_cluster(allocation, nodes)

    def image(self, node: Node) -> StagedImage:
        """The image of ``node``."""
        image = self._resources[f"{node.site}/image/{node.image[:16]}"]
        if not isinstance(image, StagedImage):
            raise TypeError(image)
        return image

    def settings(self, node: Node) -> GuestSettings:
        """The settings that ``node`` reads at its first boot only."""
        cluster = self._wanted.cluster(node.cluster)
        if cluster is None:
            return GuestSettings()
        settings = cluster.settings_of(node)
        return GuestSettings(packages=settings.packages, user_data=settings.user_data) if settings else GuestSettings()

    def can_build_seed(self, node: Node) -> bool:
        """True if the spec still has the settings and keys of ``node``'s first boot; otherwise its seed cannot be built again."""
        cluster = self._wanted.cluster(node.cluster)
        if cluster is None or not {"first_boot", "keys", "users"}.isdisjoint(cluster.unknown):
            return False
        digests = (first_boot_digest(self.settings(node)), keys_digest(cluster.ssh_keys), user_digests(cluster.users))
        return (node.first_boot, node.keys, node.users) == digests

    def _guest_cluster(self, allocation: Allocation, nodes: Sequence[Node]) -> GuestCluster:
        wanted = self._wanted.cluster(allocation.cluster)
        return GuestCluster(
            allocation=allocation,
            nodes=tuple(nodes),
            domain=wanted.domain if wanted else "local",
            ssh_keys=wanted.ssh_keys if wanted else (),
            users=wanted.users if wanted else (),
            spec_sha256=self._wanted.spec_sha256,
            lineage=self.state.lineage,
            origins=self._origins(allocation, nodes),
        )

    def _origins(self, allocation: Allocation, nodes: Sequence[Node]) -> dict[str, str]:
        """The original addresses of the resources of a cluster that have moved since they were created."""
        addresses = [allocation.address, *(node.address for node in nodes)]
        records = (self.state.record(address) for address in addresses)
        return {record.address: record.origin for record in records if record is not None and record.origin}
