"""What will be there when a plan is done: the state to come, and what its guests are told. Pure."""

from pragmaspec.guest.contract.cluster import GuestCluster, GuestSettings, first_boot_digest, keys_digest
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import Wanted
from pragmaspec.resources import Allocation, Node, StagedImage
from pragmaspec.state_model import Record, State


def expected_state(plan: Plan, state: State) -> State:
    """The state after every action of ``plan`` succeeded; outputs that only the sites know are left out."""
    changed: dict[str, Record] = {}
    removed: set[str] = set()
    for action in plan.actions:
        if action.verb == "clean":
            removed.add(action.address)
        elif action.verb != "shutdown" or not _comes_back(action):
            changed[action.address] = _made(action, state.record(action.address))
    return state.with_records(changed.values(), removed - changed.keys())


def _made(action: Action, earlier: Record | None) -> Record:
    """The record after ``action``; what stays the same build stays the object that it was made as."""
    same = earlier is not None and earlier.generation >= action.generation
    return Record(
        resource=action.resource, generation=action.generation, origin=earlier.origin if earlier is not None and same else ""
    )


def _comes_back(action: Action) -> bool:
    """Whether a shutdown is only the first half of a reboot or a clean: its node is the recorded one."""
    return action.resource == action.before


class TargetState:
    """Answers what the performers of actions need to know of the whole. Made once an apply, read from several threads."""

    def __init__(self, plan: Plan, state: State, wanted: Wanted) -> None:
        self.state = expected_state(plan, state)
        self._made_as = {record.address: record.original_address for record in state.records}
        self._wanted = wanted
        self._resources = {record.address: record.resource for record in self.state.records}
        self._clusters: dict[tuple[str, str], GuestCluster] = {}
        self._members: dict[tuple[str, str], list[Node]] = {}
        for node in self.state.nodes():
            self._members.setdefault((node.site, node.cluster), []).append(node)
        for site, cluster in self._members:
            allocation = self._resources.get(f"{site}/{cluster}/allocation")
            if isinstance(allocation, Allocation):
                self._clusters[site, cluster] = self._guest_cluster(allocation)

    def allocation(self, node: Node) -> Allocation:
        """What the cluster of ``node`` was granted. The plan has made sure that there is such an allocation."""
        return self.cluster(node).allocation

    def allocated_as(self, node: Node) -> str:
        """The address under which the allocation of ``node``'s cluster was made, or is to be."""
        address = self.allocation(node).address
        return self._made_as.get(address, address)

    def cluster(self, node: Node) -> GuestCluster:
        """The cluster of ``node``, as its guests shall know it; the same object for all its nodes."""
        return self._clusters[node.site, node.cluster]

    def image(self, node: Node) -> StagedImage:
        """What ``node`` boots from."""
        image = self._resources[f"{node.site}/image/{node.image[:16]}"]
        if not isinstance(image, StagedImage):
            raise TypeError(image)
        return image

    def settings(self, node: Node) -> GuestSettings:
        """What ``node`` reads at its first boot only."""
        cluster = self._wanted.cluster(node.cluster)
        if cluster is None:
            return GuestSettings()
        nodes = cluster.frontend if node.role == "frontend" else cluster.computes
        return GuestSettings(packages=nodes.packages, user_data=nodes.user_data)

    def is_described(self, node: Node) -> bool:
        """True if the spec still gives the settings and keys of ``node``'s first boot. Otherwise its seed cannot be rebuilt."""
        cluster = self._wanted.cluster(node.cluster)
        if cluster is None or not {"first_boot", "keys"}.isdisjoint(cluster.unknown):
            return False
        return (node.first_boot, node.keys) == (first_boot_digest(self.settings(node)), keys_digest(cluster.ssh_keys))

    def _guest_cluster(self, allocation: Allocation) -> GuestCluster:
        wanted = self._wanted.cluster(allocation.cluster)
        return GuestCluster(
            allocation=allocation,
            nodes=tuple(self._members[allocation.site, allocation.cluster]),
            domain=wanted.domain if wanted else "local",
            ssh_keys=wanted.ssh_keys if wanted else (),
            spec_sha256=self._wanted.spec_sha256,
            lineage=self.state.lineage,
            origins=self._moved(allocation),
        )

    def _moved(self, allocation: Allocation) -> dict[str, str]:
        """What of a cluster was made under another address than it has now."""
        addresses = [allocation.address, *(node.address for node in self._members[allocation.site, allocation.cluster])]
        records = (self.state.record(address) for address in addresses)
        return {record.address: record.origin for record in records if record is not None and record.origin}
