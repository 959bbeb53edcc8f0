"""Removal of the networks of a cluster."""

from pragmaspec.errors import SiteInUseError
from pragmaspec.providers.ec2.client import Answer
from pragmaspec.providers.ec2.errors import IN_USE, MISSING, ignoring
from pragmaspec.providers.ec2.marks import marked_by_note, marked_of, owner_of
from pragmaspec.providers.ec2.network_parts import ClusterParts, ClusterSubnet, subnets_of
from pragmaspec.providers.ec2.service import Service
from pragmaspec.resources import Mark


def remove_networks(service: Service, parts: ClusterParts, mark: Mark) -> None:
    """Remove all objects of an allocation. Raises SiteInUseError, before any change, if a machine uses a subnet."""
    for subnet in parts.subnets:
        refuse_used(service, subnet, mark.address)
    for subnet_id in subnets_of(service, parts):
        _remove_interfaces(service, subnet_id, parts)
    for subnet in parts.subnets:
        service.remove("delete_subnet", SubnetId=subnet.id)
    if parts.group:
        service.remove("delete_security_group", GroupId=parts.group)
    if parts.vpc:
        for gateway in gateways_of(service, parts.vpc):
            with ignoring(f"{MISSING}|Gateway\\.NotAttached"):
                service.connection.call("detach_internet_gateway", repeatable=True, InternetGatewayId=gateway, VpcId=parts.vpc)
            service.remove("delete_internet_gateway", InternetGatewayId=gateway)
        service.remove("delete_vpc", VpcId=parts.vpc)
    if parts.intent:
        service.remove("delete_security_group", GroupId=parts.intent)


def gateways_of(service: Service, vpc: str) -> list[str]:
    """Return the ids of the internet gateways of a VPC."""
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    found = service.connection.listed("describe_internet_gateways", "InternetGateways", Filters=attached)
    return [str(each["InternetGatewayId"]) for each in found]


def refuse_used(service: Service, subnet: ClusterSubnet, address: str) -> None:
    """Raise SiteInUseError if a machine has an interface in a subnet."""
    users = [each for each in interfaces_in(service, subnet.id) if each.get("Attachment", {}).get("InstanceId")]
    if users:
        owner = owner_of(marked_of(users[0]), f"instance {users[0]['Attachment']['InstanceId']}")
        raise SiteInUseError(
            "Machines use a network",
            f"{address} has subnet {subnet.id}, in which {owner} has an interface. Clean that machine first.",
        )


def interfaces_in(service: Service, subnet: str) -> list[Answer]:
    """Return the interfaces in a subnet."""
    within = [{"Name": "subnet-id", "Values": [subnet]}]
    return list(service.connection.listed("describe_network_interfaces", "NetworkInterfaces", Filters=within))


def _remove_interfaces(service: Service, subnet: str, parts: ClusterParts) -> None:
    """Remove the interfaces of the cluster, which has a group of its own, that creations of machines have left behind."""
    for each in interfaces_in(service, subnet):
        in_cluster = any(group["GroupId"] == parts.group for group in each.get("Groups", ()))
        if in_cluster and marked_by_note(each.get("Description", "")):
            with ignoring(IN_USE):
                service.remove("delete_network_interface", NetworkInterfaceId=each["NetworkInterfaceId"])
