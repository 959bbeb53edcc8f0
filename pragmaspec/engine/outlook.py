"""What will be there when a plan is done: the state to come, and what its guests are told. Pure."""

from pragmaspec.guest.cluster import GuestCluster, GuestSettings
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.planning.wanted import Wanted
from pragmaspec.recorded import Allocation, Node, Record, StagedImage, State


def state_to_come(plan: Plan, state: State) -> State:
    """The state after every action of ``plan`` succeeded; outputs that only the sites know are left out."""
    changed: dict[str, Record] = {}
    removed: set[str] = set()
    for action in plan.actions:
        if action.verb == "clean":
            removed.add(action.address)
        elif action.verb != "shutdown" or not _comes_back(action):
            changed[action.address] = Record(resource=action.resource, generation=action.generation)
    return state.with_records(changed.values(), removed - changed.keys())


def _comes_back(action: Action) -> bool:
    """Whether a shutdown is only the first half of a reboot or a clean: its node is the recorded one."""
    return action.resource == action.before


class Outlook:
    """Answers what the performers of actions need to know of the whole. Made once an apply, read from several threads."""

    def __init__(self, plan: Plan, state: State, wanted: Wanted) -> None:
        self.state = state_to_come(plan, state)
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

    def _guest_cluster(self, allocation: Allocation) -> GuestCluster:
        wanted = self._wanted.cluster(allocation.cluster)
        return GuestCluster(
            allocation=allocation,
            nodes=tuple(self._members[allocation.site, allocation.cluster]),
            domain=wanted.domain if wanted else "local",
            ssh_keys=wanted.ssh_keys if wanted else (),
            spec_sha256=self._wanted.spec_sha256,
            lineage=self.state.lineage,
        )
