"""Fills in what the sites have chosen since the plan was made: addresses of public interfaces, and the members of clusters."""

from msgspec.structs import replace

from pragmaspec.engine.target_state import TargetState
from pragmaspec.planning.late.members import LATER, members_digest
from pragmaspec.planning.late.values import is_known, with_public_address, with_translated_macs
from pragmaspec.planning.plan import Action, Plan
from pragmaspec.resources import Allocation, Node
from pragmaspec.state.session import StoreSession

_Cluster = tuple[str, str]


class LateValues:
    """Completes the actions of one apply when they start. Used from the apply thread only."""

    def __init__(self, plan: Plan, target: TargetState, session: StoreSession) -> None:
        self._sites = {planned.site.name for planned in plan.sites if planned.site.late_values}
        self._target = target
        self._session = session
        self._digests: dict[_Cluster, str] = {}

    def completed(self, action: Action) -> Action:
        """Return ``action`` with the values that are known by now. It starts after all that it depends on."""
        node = action.resource
        if not isinstance(node, Node) or node.site not in self._sites:
            return action
        if action.verb == "boot":
            node = with_public_address(node, self._allocation(node))
            if node.peers == LATER:
                node = replace(node, peers=self._members_digest(node))
        elif action.verb == "update" and node.peers == LATER:
            node = replace(self._recorded(node), peers=self._members_digest(node))
        return action if node is action.resource else replace(action, resource=node)

    def is_answered(self, boot: Action, dependent: Action) -> bool:
        """True if ``dependent`` only awaits the address of the node of ``boot``, which failed after it had named that.

        So a node that does not become ready does not keep the others from learning the members of their cluster.
        """
        node, told = boot.resource, dependent.resource
        if not isinstance(node, Node) or not isinstance(told, Node) or boot.verb != "boot" or dependent.verb != "update":
            return False
        return told.peers == LATER and told.address != node.address and is_known(self._recorded(node))

    def _allocation(self, node: Node) -> Allocation:
        """Return the recorded allocation of ``node``'s cluster, of which its guests learn too."""
        planned = self._target.allocation(node)
        record = self._session.record(planned.address)
        known = record.resource if record is not None and isinstance(record.resource, Allocation) else planned
        if known != planned:
            members = [with_public_address(each, known) for each in self._target.cluster(node).nodes]
            self._target.learn(known, members)
        return known

    def _members_digest(self, node: Node) -> str:
        """Return the digest of the members of ``node``'s cluster, computed once; empty if some are still unknown."""
        cluster = (node.site, node.cluster)
        if cluster not in self._digests:
            allocation = self._allocation(node)
            members = [self._recorded(each) for each in self._target.cluster(node).nodes]
            self._target.learn(allocation, members)
            known = all(map(is_known, members))
            self._digests[cluster] = members_digest(allocation, members, self._target.cluster(node).domain) if known else ""
        return self._digests[cluster]

    def _recorded(self, node: Node) -> Node:
        """Return ``node`` with the recorded values of its interfaces."""
        record = self._session.record(node.address)
        before = record.resource if record is not None else None
        if is_known(node) or not isinstance(before, Node):
            return node
        known = {nic.network: nic for nic in before.nics}
        nics = tuple(
            replace(nic, mac=nic.mac or known[nic.network].mac, address=nic.address or known[nic.network].address)
            if nic.network in known
            else nic
            for nic in node.nics
        )
        return replace(node, nics=with_translated_macs(nics))
