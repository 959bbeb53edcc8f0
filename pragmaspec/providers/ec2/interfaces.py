"""The interfaces of nodes. One is created before its machine, with the chosen address: it is the claim on that address."""

from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.ec2.addresses import Holder, holders_in, move, public_addresses
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.errors import TAKEN, has_code
from pragmaspec.providers.ec2.machines import Interface, interface_of, is_of
from pragmaspec.providers.ec2.marks import Marked, marked_by_note, marked_of, note_of, owner_of
from pragmaspec.providers.ec2.network_parts import ClusterSubnet, find_parts
from pragmaspec.providers.ec2.network_release import interfaces_in
from pragmaspec.providers.ec2.service import INTERFACE, Service
from pragmaspec.resources import Mark, Nic


class Connected(NamedTuple):
    """The interfaces for a machine, in the order of the node's; ``machine_id``: the machine that has them, if any."""

    interfaces: tuple[Interface, ...]
    created: tuple[str, ...] = ()
    machine_id: str = ""


class NodeInterfaces:
    """The interfaces of one node."""

    def __init__(self, service: Service, request: BootRequest) -> None:
        self._service = service
        self._call = service.connection.call
        self._request = request
        self._mark = request.mark
        self.parts = find_parts(service, request.allocation_mark)
        self._subnets = tuple(self._subnet(network.name) for network in request.allocation.networks)

    def prepare(self) -> Connected:
        """Create the interfaces that do not exist. Raises SiteConflictError if an address has another owner."""
        found, created, machine_id = [], [], ""
        try:
            for nic in self._request.node.interfaces:
                described = self._present(nic)
                if described is None:
                    described = self._create(nic)
                    created.append(described["NetworkInterfaceId"])
                machine_id = machine_id or described.get("Attachment", {}).get("InstanceId", "")
                found.append(interface_of(described)._replace(network=nic.network))
        except BaseException:
            self.remove(tuple(created))
            raise
        return Connected(tuple(found), tuple(created), machine_id)

    def apply(self, interfaces: tuple[Interface, ...]) -> None:
        """Let the frontend forward packets of others, and give the node its public address."""
        if self.forwards:
            for each in interfaces:
                if each.checked:
                    self._set(each.id, SourceDestCheck={"Value": False})
        if interfaces:
            for holder in self.holders():
                move(self._service, holder.address_id, interfaces[0].id)

    @property
    def zone(self) -> str:
        """The zone of the node's networks."""
        ids = [self._subnets[0].id]
        (subnet,) = self._service.connection.call("describe_subnets", SubnetIds=ids)["Subnets"]
        return str(subnet.get("AvailabilityZone", ""))

    @property
    def forwards(self) -> bool:
        """True if the node is the gateway of its cluster."""
        return self._request.node.role == "frontend"

    def holders(self) -> list[Holder]:
        """Return the holders of the node's public addresses. Their names may be those of the node at an earlier time."""
        name = self._request.node.name
        granted = {grant.address for grant in self._request.allocation.public if grant.node == name}
        if not granted:
            return []
        ids = {each["AllocationId"] for each in public_addresses(self._service) if each["PublicIp"] in granted}
        found = holders_in(self._service, self._subnets[0].id, self._request.allocation_mark)
        return [each for each in found if each.address_id in ids]

    def remove(self, interface_ids: tuple[str, ...]) -> None:
        """Remove interfaces that were created for a machine that does not exist."""
        for holder in self.holders() if interface_ids else ():
            move(self._service, holder.address_id, holder.interface)
        for each in interface_ids:
            self._service.remove("delete_network_interface", NetworkInterfaceId=each)

    def _subnet(self, network: str) -> ClusterSubnet:
        settings, found = self._service.settings, self.parts.subnet(network)
        if settings.subnet and network == "private":
            return ClusterSubnet(settings.subnet, network, self._request.allocation.private.cidr, "")
        if found is None:
            raise SiteError(
                "A node cannot boot",
                f"{self._request.node.address} needs the network {network} of {self._request.allocation.address}, which the site "
                "does not have. Plan again, which creates the missing objects.",
            )
        return found

    def _present(self, nic: Nic) -> Answer | None:
        """Return the interface of this creation that exists already. One that an earlier creation has left is taken over."""
        subnet = self._of(nic)
        within = [
            {"Name": "subnet-id", "Values": [subnet.id]},
            {"Name": "addresses.private-ip-address", "Values": [nic.address]},
        ]
        for each in self._service.connection.listed("describe_network_interfaces", "NetworkInterfaces", Filters=within):
            marked = marked_by_note(each.get("Description", ""))
            if marked is None or not marked.mark.is_for(self._mark):
                continue
            if (marked.mark.generation, marked.mark.op) == (self._mark.generation, self._mark.op):
                return each
            if not each.get("Attachment", {}).get("InstanceId"):
                self._set(each["NetworkInterfaceId"], Description={"Value": note_of(Marked(self._mark, nic.network))})
                return each
        return None

    def _create(self, nic: Nic) -> Answer:
        marked = Marked(self._mark, nic.network)
        subnet = self._of(nic)
        try:
            return self._service.create(
                INTERFACE,
                marked,
                f"{self._request.node.name} {nic.network}",
                SubnetId=subnet.id,
                PrivateIpAddress=nic.address,
                Description=note_of(marked),
                Groups=self._service.groups(self.parts.group),
            )
        except ClientError as error:
            if not has_code(TAKEN)(error):
                raise
            raise SiteConflictError(
                "Private address in use",
                f"{self._request.node.address} wants {nic.address}, which {self._holder(subnet, nic.address)} has.",
            ) from error

    def _holder(self, subnet: ClusterSubnet, address: str) -> str:
        found = (each for each in interfaces_in(self._service, subnet.id) if each.get("PrivateIpAddress") == address)
        each = next(found, None)
        return owner_of(marked_of(each), f"interface {each['NetworkInterfaceId']}") if each else "another owner"

    def _of(self, nic: Nic) -> ClusterSubnet:
        return next(each for each in self._subnets if each.network == nic.network)

    def _set(self, interface_id: str, **attribute: Any) -> None:  # noqa: ANN401
        self._service.connection.settled("modify_network_interface_attribute", NetworkInterfaceId=interface_id, **attribute)


def interfaces_of(service: Service, mark: Mark) -> list[Answer]:
    """Return the interfaces that carry the mark of a node, in use or not."""
    found = []
    for each in service.owned("describe_network_interfaces", "NetworkInterfaces", mark.lineage, mark.address):
        marked = marked_by_note(each.get("Description", ""))
        if marked and is_of(marked.mark, mark):
            found.append(each)
    return found
