"""The networks of a cluster: a VPC with an internet gateway, a subnet per network, and a security group.

The VPC, the only subnet or the group may be named by the options of the site instead; those are never changed or removed.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Network
from typing import Any

from botocore.exceptions import ClientError

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.providers.ec2.client import SETTLE_S, Answer
from pragmaspec.providers.ec2.errors import TAKEN, has_code, ignoring
from pragmaspec.providers.ec2.marks import OP, Marked, marked_of, note_of, owner_of, tags_of
from pragmaspec.providers.ec2.network_parts import (
    GATEWAY_PART,
    GROUP_PART,
    INTENT_PART,
    NETWORK_PART,
    VPC_PART,
    ClusterParts,
    ClusterSubnet,
    find_parts,
)
from pragmaspec.providers.ec2.network_release import gateways_of, refuse_used
from pragmaspec.providers.ec2.rules import wanted_rules
from pragmaspec.providers.ec2.service import GATEWAY, GROUP, SUBNET, VPC, Service
from pragmaspec.resources import Allocation, Mark, Network

_ANYWHERE = "0.0.0.0/0"
_GROUP_EXISTS = r"InvalidGroup\.Duplicate"
_AGAIN = r"InvalidPermission\.Duplicate|RouteAlreadyExists|Resource\.AlreadyAssociated"


class NetworkClaim:
    """The networks of one allocation, which an allocate creates or changes. ``undo`` removes what it created."""

    def __init__(self, service: Service, wanted: Allocation, mark: Mark, undo: ExitStack) -> None:
        self._service = service
        self._call = service.connection.call
        self._wanted = wanted
        self._mark = mark
        self._undo = undo
        self._before = find_parts(service, mark)
        self._name = f"{wanted.cluster}.{mark.short}"

    def make(self) -> ClusterParts:
        """Create what is missing, and return all objects. Subnets of other networks stay: see :meth:`shrink`."""
        settings, before = self._service.settings, self._before
        own = not (settings.vpc or settings.subnet)
        vpc = (before.vpc or self._new_vpc()) if own else self._named_vpc()
        if own:
            self._widen(vpc)
        group = before.group or self._created_group(GROUP_PART, VpcId=vpc)
        self._open(group)
        named = self._named_subnet() if settings.subnet else None
        subnets = (named,) if named else tuple(self._subnets(vpc))
        if own and self._wanted.public:
            self._connect(vpc)
        self._remark((group, *([vpc] if own else ()), *(each.id for each in subnets if each is not named)))
        return ClusterParts(vpc=vpc if own else "", group=group, subnets=subnets, op=self._mark.op or before.op)

    def shrink(self, parts: ClusterParts) -> None:
        """Remove the subnets of networks that are no longer wanted."""
        kept = {each.id for each in parts.subnets}
        for subnet in self._before.subnets:
            if subnet.id not in kept:
                refuse_used(self._service, subnet, self._mark.address)
                self._service.remove("delete_subnet", SubnetId=subnet.id)

    def _new_vpc(self) -> str:
        """Create the VPC. Where it cannot be tagged by the same call, a group with the mark announces it before."""
        cidr, announced = self._wanted.private.cidr, self._before.intent
        if self._service.capabilities.has("tag_at_creation"):
            return self._created_vpc(cidr)
        found = _unmarked_vpc(self._service, cidr) if announced else ""
        intent = announced or self._created_group(INTENT_PART)
        vpc = found or self._created_vpc(cidr)
        if found:
            self._service.tag(found, self._tags(VPC_PART))
        self._service.remove("delete_security_group", GroupId=intent)
        return vpc

    def _created_vpc(self, cidr: str) -> str:
        vpc = str(self._service.create(VPC, Marked(self._mark, VPC_PART), self._name, CidrBlock=cidr)["VpcId"])
        self._undo.callback(self._service.undo, "delete_vpc", VpcId=vpc)
        return vpc

    def _named_vpc(self) -> str:
        settings = self._service.settings
        if settings.subnet:
            (found,) = self._call("describe_subnets", SubnetIds=[settings.subnet])["Subnets"]
            return str(found["VpcId"])
        (found,) = self._call("describe_vpcs", VpcIds=[settings.vpc])["Vpcs"]
        return str(found["VpcId"])

    def _named_subnet(self) -> ClusterSubnet:
        (found,) = self._call("describe_subnets", SubnetIds=[self._service.settings.subnet])["Subnets"]
        private = self._wanted.private
        if len(self._wanted.networks) > 1:
            raise SiteError(
                "The site has one subnet",
                f"{self._wanted.address} has the networks {', '.join(each.name for each in self._wanted.networks)}, and site "
                f"{self._service.site} names one `subnet`. Remove `networks` of the cluster, or `subnet` of the site.",
            )
        if IPv4Network(found["CidrBlock"]) != IPv4Network(private.cidr, strict=False):
            raise SiteError(
                "The private network is not the site's subnet",
                f"Subnet {found['SubnetId']} has the range {found['CidrBlock']}, and {self._wanted.address} has {private.cidr}. "
                f"Write `private: {{cidr: {found['CidrBlock']}}}` in the cluster.",
            )
        return ClusterSubnet(found["SubnetId"], private.name, found["CidrBlock"], found["VpcId"])

    def _widen(self, vpc: str) -> None:
        """Add ranges to the VPC so that it contains those of all networks."""
        (found,) = self._service.connection.settled("describe_vpcs", VpcIds=[vpc])["Vpcs"]
        ranges = [IPv4Network(cidr) for cidr in _ranges(found)]
        for network in self._wanted.networks:
            cidr = IPv4Network(network.cidr, strict=False)
            if any(cidr.subnet_of(each) for each in ranges):
                continue
            if not self._service.capabilities.has("further_ranges"):
                raise SiteError(
                    "A network is outside of the cluster's VPC",
                    f"{self._wanted.address} has the network {network.name} with {network.cidr}, and VPCs of site "
                    f"{self._service.site} have one range, {found['CidrBlock']}. Write a `cidr` within it, and clean the cluster "
                    "before its private range changes.",
                )
            answer = self._call("associate_vpc_cidr_block", VpcId=vpc, CidrBlock=str(cidr))
            association = answer["CidrBlockAssociation"]["AssociationId"]
            self._undo.callback(self._service.undo, "disassociate_vpc_cidr_block", AssociationId=association)
            ranges.append(cidr)

    def _created_group(self, part: str, **parameters: Any) -> str:  # noqa: ANN401
        marked = Marked(self._mark, part)
        name = f"pragmaspec-{part}-{self._mark.uuid}"
        try:
            made = self._service.create(GROUP, marked, self._name, GroupName=name, Description=note_of(marked), **parameters)
        except ClientError as error:
            if not has_code(_GROUP_EXISTS)(error):
                raise
            return self._group_called(name, part)
        group = str(made["GroupId"])
        self._undo.callback(self._service.undo, "delete_security_group", GroupId=group)
        return group

    def _group_called(self, name: str, part: str) -> str:
        """Return the group with a name that only this allocation can have, which was not listed yet, or has lost its tags."""
        named = [{"Name": "group-name", "Values": [name]}]
        group = str(self._call("describe_security_groups", Filters=named)["SecurityGroups"][0]["GroupId"])
        self._service.tag(group, self._tags(part))
        return group

    def _open(self, group: str) -> None:
        inside: Answer = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        missing = set(wanted_rules(self._service.settings)) - self._before.rules
        permissions = [inside, *(each.permission for each in sorted(missing))]
        # Together for a new group. In any other, a rule that is there already would refuse the rest.
        for part in [permissions] if group != self._before.group else [[each] for each in permissions]:
            with ignoring(_AGAIN):
                self._service.connection.settled("authorize_security_group_ingress", GroupId=group, IpPermissions=part)

    def _subnets(self, vpc: str) -> Iterator[ClusterSubnet]:
        for network in self._wanted.networks:
            before = self._before.subnet(network.name)
            cidr = str(IPv4Network(network.cidr, strict=False))
            if before and before.cidr == cidr:
                yield before
            else:
                yield self._new_subnet(vpc, network, cidr)

    def _new_subnet(self, vpc: str, network: Network, cidr: str) -> ClusterSubnet:
        marked = Marked(self._mark, f"{NETWORK_PART}{network.name}")
        chosen = self._service.new_zone()
        zone: dict[str, Any] = {"AvailabilityZone": chosen} if chosen else {}
        try:
            made = self._service.create(SUBNET, marked, f"{self._name} {network.name}", VpcId=vpc, CidrBlock=cidr, **zone)
        except ClientError as error:
            if not has_code(TAKEN)(error):
                raise
            found = self._holder(vpc, cidr)
            if found and (self._is_ours(found) or self._adopts(found)):
                self._service.tag(found["SubnetId"], self._tags(marked.part))
                return ClusterSubnet(found["SubnetId"], network.name, cidr, vpc)
            holder = owner_of(marked_of(found) if found else None, found["SubnetId"] if found else "another subnet")
            raise SiteConflictError(
                "Private range in use",
                f"{self._wanted.address} wants {cidr} in VPC {vpc}, which {holder} has. Write another `private: {{cidr: …}}`.",
            ) from error
        self._undo.callback(self._service.undo, "delete_subnet", SubnetId=made["SubnetId"])
        return ClusterSubnet(made["SubnetId"], network.name, cidr, vpc)

    def _holder(self, vpc: str, cidr: str) -> Answer | None:
        wanted = IPv4Network(cidr)
        found = self._service.connection.listed("describe_subnets", "Subnets", Filters=[{"Name": "vpc-id", "Values": [vpc]}])
        return next((each for each in found if IPv4Network(each["CidrBlock"]).overlaps(wanted)), None)

    def _is_ours(self, subnet: Answer) -> bool:
        """True for a subnet of this allocation that was not listed yet."""
        marked = marked_of(subnet)
        return marked is not None and marked.mark.is_for(self._mark)

    def _adopts(self, subnet: Answer) -> bool:
        """True if an unmarked subnet was created by an earlier call of ours that did not come to tag it."""
        announced = bool(self._before.vpc or self._before.group) and not self._service.capabilities.has("tag_at_creation")
        return announced and marked_of(subnet) is None and self._before.subnet(subnet["SubnetId"]) is None

    def _connect(self, vpc: str) -> None:
        """Attach an internet gateway, and route to it."""
        attached = gateways_of(self._service, vpc)
        if attached:
            gateway = attached[0]
        else:
            marked = Marked(self._mark, GATEWAY_PART)
            gateway = str(self._service.create(GATEWAY, marked, self._name)["InternetGatewayId"])
            self._undo.callback(self._service.undo, "delete_internet_gateway", InternetGatewayId=gateway)
            self._service.connection.settled("attach_internet_gateway", InternetGatewayId=gateway, VpcId=vpc)
            self._undo.callback(self._service.undo, "detach_internet_gateway", InternetGatewayId=gateway, VpcId=vpc)
        table = self._main_table(vpc)
        if not any(each.get("GatewayId") == gateway for each in table["Routes"]):
            route = {"RouteTableId": table["RouteTableId"], "DestinationCidrBlock": _ANYWHERE}
            with ignoring(_AGAIN):
                self._service.connection.settled("create_route", GatewayId=gateway, **route)
            self._undo.callback(self._service.undo, "delete_route", **route)

    def _remark(self, object_ids: tuple[str, ...]) -> None:
        """Let objects that exist already carry the op of this call."""
        if self._before.id and self._mark.op and self._before.op != self._mark.op:
            for each in object_ids:
                self._service.tag(each, [{"Key": OP, "Value": f"op-{self._mark.op}"}])

    def _main_table(self, vpc: str) -> Answer:
        named = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
        clock = self._service.connection.clock
        until = clock.monotonic() + SETTLE_S
        while True:
            tables: list[Answer] = self._call("describe_route_tables", Filters=named)["RouteTables"]
            if tables:
                return tables[0]
            if clock.monotonic() >= until:
                raise SiteError("A VPC has no routes", f"{vpc} has no main route table. Look at it there, then apply again.")
            clock.sleep(1)

    def _tags(self, part: str) -> list[dict[str, str]]:
        return tags_of(Marked(self._mark, part), self._name, self._service.settings.tags)


def _unmarked_vpc(service: Service, cidr: str) -> str:
    """Return the VPC with this range that an announced creation left: without tags and contents; empty unless there is one."""
    found = []
    for each in service.connection.listed("describe_vpcs", "Vpcs"):
        if each["CidrBlock"] != cidr or each.get("IsDefault") or each.get("Tags"):
            continue
        within = [{"Name": "vpc-id", "Values": [each["VpcId"]]}]
        if not service.connection.call("describe_subnets", Filters=within)["Subnets"]:
            found.append(str(each["VpcId"]))
    return found[0] if len(found) == 1 else ""


def _ranges(vpc: Answer) -> tuple[str, ...]:
    further = (each["CidrBlock"] for each in vpc.get("CidrBlockAssociationSet", ()))
    return tuple(dict.fromkeys((vpc["CidrBlock"], *further)))
