"""Public addresses of clusters: Elastic IP addresses, each held by an interface until its node has one.

Not every service can tag an address. So each one has a *holder*, an interface in the private network with the mark of the
allocation, whose description names the address. It is the claim as well: an address is associated with one interface, and the
service refuses a second association. When the node boots, the address moves to the interface of its machine, and back before the
machine is removed.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import IPv4Network
from typing import NamedTuple

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.networking import LAST_FRONTEND_OFFSET
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.errors import MISSING, TAKEN, has_code, ignoring
from pragmaspec.providers.ec2.marks import Marked, marked_by_note, marked_of, note_of, owner_of
from pragmaspec.providers.ec2.network_parts import ClusterParts
from pragmaspec.providers.ec2.network_release import interfaces_in
from pragmaspec.providers.ec2.service import ADDRESS, INTERFACE, Service
from pragmaspec.resources import Allocation, Mark, Outputs, PublicGrant

_HOLDER_PART = "address"


class Holder(NamedTuple):
    """An interface that holds the public address of a node. ``address_id``: empty until the address is known."""

    interface: str
    mark: Mark
    node: str
    made: bool
    """True if the address was allocated for the cluster, and is released with it."""
    address_id: str = ""

    @property
    def part(self) -> str:
        """The part of the allocation, as its mark names it."""
        words = (_HOLDER_PART, self.node, "made" if self.made else "named", *((self.address_id,) if self.address_id else ()))
        return "/".join(words)


def holder_of(described: Answer) -> Holder | None:
    """Return the holder that an interface is; None if it is none."""
    marked = marked_by_note(described.get("Description", ""))
    words = marked.part.split("/") if marked else []
    if marked is None or words[0] != _HOLDER_PART or len(words) not in (3, 4):
        return None
    return Holder(described["NetworkInterfaceId"], marked.mark, words[1], words[2] == "made", "".join(words[3:]))


def holders_in(service: Service, subnet: str, mark: Mark) -> list[Holder]:
    """Return the holders of an allocation."""
    found = filter(None, map(holder_of, interfaces_in(service, subnet)))
    return [each for each in found if each.mark.is_for(mark)]


class AddressClaim:
    """The public addresses of one allocation, which an allocate claims and drops."""

    def __init__(self, service: Service, parts: ClusterParts, mark: Mark, undo: ExitStack) -> None:
        self._service = service
        self._call = service.connection.call
        self._parts = parts
        self._mark = mark
        self._undo = undo
        self._private = parts.subnets[0]
        self._holders = holders_in(service, self._private.id, mark)

    def make(self, wanted: Allocation) -> Outputs:
        """Claim the wanted addresses, and return those that the site has chosen."""
        described = _by_id(self._service)
        found = []
        for grant in wanted.public:
            holder = self._holder_of(grant, described)
            present = described.get(holder.address_id) if holder else None
            if present is None or grant.address not in ("", present["PublicIp"]):
                present = self._claimed(grant, holder, described)
            elif not present.get("NetworkInterfaceId"):
                self._associate(present["AllocationId"], holder.interface if holder else "")
            found.append((f"public:{grant.node}", str(present["PublicIp"])))
        return tuple(sorted(found))

    def shrink(self, outputs: Outputs) -> None:
        """Drop the addresses that are not among ``outputs``."""
        kept = {address for _, address in outputs}
        described = _by_id(self._service) if self._holders else {}
        for holder in self._holders:
            address = described.get(holder.address_id, {}).get("PublicIp", "")
            if address not in kept:
                release(self._service, holder)

    def _holder_of(self, grant: PublicGrant, described: dict[str, Answer]) -> Holder | None:
        """Return the holder of the grant's address, else that of its node, which may have had another name."""
        addresses = {each: described.get(each.address_id, {}).get("PublicIp", "") for each in self._holders}
        same = next((each for each, address in addresses.items() if grant.address and address == grant.address), None)
        return same or next((each for each in self._holders if each.node == grant.node), None)

    def _claimed(self, grant: PublicGrant, holder: Holder | None, described: dict[str, Answer]) -> Answer:
        """Return the address that is claimed for ``grant``."""
        if holder is not None and holder.address_id in described:
            release(self._service, holder)  # another address than the wanted one
            holder = None
        known = next((each for each in described.values() if each["PublicIp"] == grant.address), None)
        if grant.address and known is None:
            raise SiteError(
                "No such public address",
                f"{self._mark.address} wants {grant.address}, which is no Elastic IP address of this account at site "
                f"{self._service.site}. Allocate it first, or remove it from the spec.",
            )
        made = known is None
        holder = holder or self._new_holder(grant.node, made=made)
        address = known or self._new_address(grant)
        holder = holder._replace(address_id=address["AllocationId"], made=made)
        marked = Marked(self._mark, holder.part)
        self._call(
            "modify_network_interface_attribute",
            repeatable=True,
            NetworkInterfaceId=holder.interface,
            Description={"Value": note_of(marked)},
        )
        self._associate_first(holder, address)
        return address

    def _new_holder(self, node: str, *, made: bool) -> Holder:
        """Create the interface. Its address is one of those that plans give to no node."""
        marked = Marked(self._mark, Holder("", self._mark, node, made).part)
        number = sum(each.node != node for each in self._holders)
        address = IPv4Network(self._private.cidr).network_address + LAST_FRONTEND_OFFSET - number
        made_interface = self._service.create(
            INTERFACE,
            marked,
            f"address of {node}",
            SubnetId=self._private.id,
            PrivateIpAddress=str(address),
            Description=note_of(marked),
            Groups=self._service.groups(self._parts.group),
        )
        interface = str(made_interface["NetworkInterfaceId"])
        self._undo.callback(self._service.undo, "delete_network_interface", NetworkInterfaceId=interface)
        return Holder(interface, self._mark, node, made)

    def _new_address(self, grant: PublicGrant) -> Answer:
        """Allocate an address, or return the one of an earlier call whose answer was lost."""
        if self._service.capabilities.has("tag_at_creation"):
            for each in self._service.owned("describe_addresses", "Addresses", self._mark.lineage, self._mark.address):
                marked = marked_of(each)
                if marked and marked.part == grant.node and not each.get("AssociationId"):
                    return each
        marked = Marked(self._mark, grant.node)
        made = self._service.create(ADDRESS, marked, grant.node, tagged=False, Domain="vpc")
        self._undo.callback(self._service.undo, "release_address", AllocationId=made["AllocationId"])
        return made

    def _associate_first(self, holder: Holder, address: Answer) -> None:
        """Associate an address with its holder. Raises SiteConflictError if it is associated with another interface."""
        try:
            self._associate(address["AllocationId"], holder.interface)
        except ClientError as error:
            if not has_code(TAKEN)(error):
                raise
            raise SiteConflictError(
                "Public address in use",
                f"{self._mark.address} wants {address['PublicIp']}, which {self._user_of(address['AllocationId'])} has.",
            ) from error
        self._undo.callback(disassociate, self._service, address["AllocationId"])

    def _associate(self, address_id: str, interface: str) -> None:
        self._service.connection.settled(
            "associate_address", AllocationId=address_id, NetworkInterfaceId=interface, AllowReassociation=False
        )

    def _user_of(self, address_id: str) -> str:
        interface = _by_id(self._service).get(address_id, {}).get("NetworkInterfaceId")
        if not interface:
            return "another owner"
        (found,) = self._call("describe_network_interfaces", NetworkInterfaceIds=[interface])["NetworkInterfaces"]
        return owner_of(marked_of(found), f"interface {interface}")


def release(service: Service, holder: Holder) -> None:
    """Drop the claim of a holder: an address that was made for it is released, and any other one is free again."""
    if holder.address_id:
        disassociate(service, holder.address_id)
        if holder.made:
            service.remove("release_address", AllocationId=holder.address_id)
    service.remove("delete_network_interface", NetworkInterfaceId=holder.interface)


def disassociate(service: Service, address_id: str) -> None:
    """Free an address from its interface. Absent or free: no error."""
    for each in _described(service, address_id):
        if each.get("AssociationId"):
            with ignoring(MISSING):
                service.connection.call("disassociate_address", repeatable=True, AssociationId=each["AssociationId"])


def move(service: Service, address_id: str, interface: str) -> None:
    """Associate an address with another interface, unless it is already."""
    for each in _described(service, address_id):
        if each.get("NetworkInterfaceId") != interface:
            service.connection.settled(
                "associate_address", AllocationId=address_id, NetworkInterfaceId=interface, AllowReassociation=True
            )


def return_addresses(service: Service, subnets: Mapping[str, str]) -> None:
    """Move public addresses back from interfaces to their holders, before the interfaces are removed.

    ``subnets``: the ids of the subnets of these interfaces, by their ids.
    """
    for described in public_addresses(service) if subnets else ():
        subnet = subnets.get(described.get("NetworkInterfaceId", ""))
        if subnet is None:
            continue
        holders = filter(None, map(holder_of, interfaces_in(service, subnet)))
        for holder in holders:
            if holder.address_id == described["AllocationId"]:
                move(service, holder.address_id, holder.interface)


def public_addresses(service: Service) -> list[Answer]:
    """Return the addresses of the account, without those that are not for VPCs: they have no id."""
    found = service.connection.listed("describe_addresses", "Addresses")
    return [each for each in found if each.get("AllocationId")]


def _by_id(service: Service) -> dict[str, Answer]:
    return {each["AllocationId"]: each for each in public_addresses(service)}


def _described(service: Service, address_id: str) -> list[Answer]:
    found: list[Answer] = []
    with ignoring(MISSING):
        found += service.connection.call("describe_addresses", AllocationIds=[address_id])["Addresses"]
    return found
