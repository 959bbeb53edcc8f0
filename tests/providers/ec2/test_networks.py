"""Networks that the options of a site name, lost parts, and calls that were cut off, over moto."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteConflictError, SiteError
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.network_parts import find_parts
from pragmaspec.providers.ec2.networks import NetworkClaim
from pragmaspec.providers.ec2.rules import Rule
from pragmaspec.providers.ec2.service import Service
from pragmaspec.resources import Allocation
from pragmaspec.state_model import Record, State
from pragmaspec.testing.subject import Subject, left_as_found
from tests.providers.ec2.conftest import TYPES, ec2_site
from tests.providers.ec2.doubles import Having

Opened = Callable[..., Subject]
RANGE = "10.60.0.0/16"
"""The private range of a subject."""


@pytest.fixture
def vpc(moto: Ec2Client) -> Iterator[str]:
    """A VPC with an internet gateway, which must be empty at the end."""
    found = moto.call("create_vpc", CidrBlock=RANGE)["Vpc"]["VpcId"]
    gateway = moto.call("create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
    moto.call("attach_internet_gateway", InternetGatewayId=gateway, VpcId=found)
    yield found
    within = [{"Name": "vpc-id", "Values": [found]}]
    groups = moto.listed("describe_security_groups", "SecurityGroups", Filters=within)
    left = [
        *moto.listed("describe_subnets", "Subnets", Filters=within),
        *moto.listed("describe_network_interfaces", "NetworkInterfaces", Filters=within),
        *(each for each in groups if each["GroupName"] != "default"),
    ]
    moto.call("detach_internet_gateway", InternetGatewayId=gateway, VpcId=found)
    moto.call("delete_internet_gateway", InternetGatewayId=gateway)
    moto.call("delete_vpc", VpcId=found)
    assert left == []


@pytest.fixture
def opened(moto_endpoint: str, tmp_path: Path) -> Iterator[Opened]:
    """Opens stacks at sites with these options; they must leave nothing behind."""
    with ExitStack() as ends:

        def subject(**options: object) -> Subject:
            site = ec2_site("lab", endpoint=moto_endpoint, types=TYPES, **options)
            left = left_as_found(Subject.at(site, tmp_path))
            ends.callback(lambda: next(left, None))
            return next(left)

        yield subject


def with_address(subject: Subject) -> Allocation:
    return replace(subject.allocation(), public=(subject.grant("hello", ""),))


def test_a_cluster_in_a_named_vpc_has_a_subnet_of_its_own(vpc: str, opened: Opened, moto: Ec2Client) -> None:
    subject = opened(vpc=vpc)
    subject.allocate(with_address(subject))
    (seen,) = subject.observed().allocations
    assert (seen.networks, len(seen.public)) == (("private",), 1)
    (subnet,) = moto.call("describe_subnets", Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    assert subnet["CidrBlock"] == RANGE
    uses = [(use.value, use.lineage) for use in subject.provider.inventory().cidrs]
    assert uses == [(RANGE, subject.lineage)]


def test_two_clusters_in_a_named_vpc_cannot_share_a_range(vpc: str, opened: Opened) -> None:
    subject = opened(vpc=vpc)
    subject.allocate(subject.allocation())
    other = subject.other()
    with pytest.raises(SiteConflictError, match=subject.lineage[:8]):
        other.allocate(other.allocation())
    assert other.observed().allocations == ()


def test_a_cluster_in_a_named_subnet(vpc: str, opened: Opened, moto: Ec2Client) -> None:
    subnet = moto.call("create_subnet", VpcId=vpc, CidrBlock=RANGE)["Subnet"]["SubnetId"]
    subject = opened(subnet=subnet)
    wanted = with_address(subject)
    subject.stage()
    address = dict(subject.provider.allocate(wanted, subject.mark(wanted)))["public:hello-frontend"]
    (seen,) = subject.observed().allocations
    assert (seen.networks, seen.public) == (("private",), (address,))
    node, wanted = subject.node(), replace(wanted, public=(subject.grant("hello", address),))
    subject.provider.boot(replace(subject.boot_request(node), allocation=wanted))
    (found,) = moto.call("describe_addresses")["Addresses"]
    assert found["PrivateIpAddress"] == node.nics[0].address
    subject.clean_all()
    assert moto.call("describe_subnets", SubnetIds=[subnet])["Subnets"]
    moto.call("delete_subnet", SubnetId=subnet)


def test_a_named_subnet_has_the_private_range(vpc: str, opened: Opened, moto: Ec2Client) -> None:
    subnet = moto.call("create_subnet", VpcId=vpc, CidrBlock="10.60.1.0/24")["Subnet"]["SubnetId"]
    subject = opened(subnet=subnet)
    with pytest.raises(SiteError, match=r"cidr: 10\.60\.1\.0/24"):
        subject.allocate(subject.allocation())
    assert subject.observed().allocations == ()
    moto.call("delete_subnet", SubnetId=subnet)


def test_a_lost_gateway_is_a_fault_and_is_replaced(opened: Opened, moto: Ec2Client) -> None:
    subject = opened()
    wanted = with_address(subject)
    subject.allocate(wanted)
    (vpc,) = moto.call("describe_vpcs", Filters=[{"Name": "tag:pragmaspec-lineage", "Values": [subject.lineage]}])["Vpcs"]
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc["VpcId"]]}]
    (gateway,) = moto.call("describe_internet_gateways", Filters=attached)["InternetGateways"]
    moto.call("detach_internet_gateway", InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
    moto.call("delete_internet_gateway", InternetGatewayId=gateway["InternetGatewayId"])
    assert subject.observed().allocations[0].faults == ("has lost its internet gateway",)
    subject.allocate(wanted)
    assert subject.observed().allocations[0].faults == ()


def test_a_lost_rule_is_a_fault_and_is_replaced(opened: Opened, moto: Ec2Client) -> None:
    https = Rule("tcp", 443, 443, "0.0.0.0/0")
    ingress = {"protocol": https.protocol, "first": https.first, "last": https.last, "sources": [https.source]}
    subject = opened(ssh_from=["192.0.2.0/24"], ingress=[ingress])
    wanted = subject.allocation()
    subject.allocate(wanted)
    named = [{"Name": "tag:pragmaspec-lineage", "Values": [subject.lineage]}]
    (group,) = moto.call("describe_security_groups", Filters=named)["SecurityGroups"]
    assert subject.observed().allocations[0].faults == ()
    moto.call("revoke_security_group_ingress", GroupId=group["GroupId"], IpPermissions=[https.permission])
    assert subject.observed().allocations[0].faults == ("does not accept tcp 443 from 0.0.0.0/0",)
    subject.allocate(wanted)
    assert subject.observed().allocations[0].faults == ()


def test_the_check_of_a_frontend_that_forwards_is_drift(opened: Opened, moto: Ec2Client) -> None:
    subject = opened()
    subject.prepare()
    frontend, compute = subject.node(), subject.node("hello-compute-0")
    for node in (frontend, compute):
        subject.boot(node)
    records = [Record(resource=each, status="ready") for each in (compute, frontend)]
    state = State(lineage=subject.lineage, records=tuple(records))

    def differences() -> list[str]:
        return [each.detail for node in subject.provider.observe(subject.lineage, state).nodes for each in node.differences]

    assert differences() == []
    (found,) = moto.call(
        "describe_network_interfaces", Filters=[{"Name": "private-ip-address", "Values": [frontend.nics[0].address]}]
    )["NetworkInterfaces"]
    interface = found["NetworkInterfaceId"]
    moto.call("modify_network_interface_attribute", NetworkInterfaceId=interface, SourceDestCheck={"Value": True})
    assert "source/destination check" in differences()[0]
    subject.boot(frontend)
    assert differences() == []


@pytest.mark.parametrize("tagged", [False, True], ids=["untagged", "tagged"])
def test_a_vpc_of_a_call_that_was_cut_off_is_found(opened: Opened, moto: Ec2Client, tagged: bool) -> None:
    """At a service that tags by a second call. The first run ends after the creation of the VPC."""
    subject = opened()
    wanted, mark = subject.allocation(), subject.mark(subject.allocation())
    service = Service("lab", moto, moto.settings, Having(moto))
    foreign = moto.call("create_vpc", CidrBlock=RANGE)["Vpc"]["VpcId"] if tagged else ""
    if foreign:
        moto.call("create_tags", Resources=[foreign], Tags=[{"Key": "project", "Value": "other"}])
    cut_off = NetworkClaim(service, wanted, mark, ExitStack())
    cut_off._created_group("intent")
    left = moto.call("create_vpc", CidrBlock=RANGE)["Vpc"]["VpcId"]
    assert find_parts(service, mark).intent
    parts = NetworkClaim(service, wanted, mark, ExitStack()).make()
    assert parts.vpc == left
    assert (find_parts(service, mark).vpc, find_parts(service, mark).intent) == (left, "")
    if foreign:
        moto.call("delete_vpc", VpcId=foreign)


def test_objects_that_lost_their_tags_are_used_again(opened: Opened, moto: Ec2Client) -> None:
    """As those of a call that was repeated before a service lists them."""
    subject = opened()
    subject.allocate(subject.allocation())
    before = subject.observed()
    named = [{"Name": "tag:pragmaspec-lineage", "Values": [subject.lineage]}]
    groups = [each["GroupId"] for each in moto.call("describe_security_groups", Filters=named)["SecurityGroups"]]
    moto.call("delete_tags", Resources=groups, Tags=[{"Key": "pragmaspec-lineage"}])
    subject.allocate(subject.allocation())
    assert subject.observed() == before
    assert [each["GroupId"] for each in moto.call("describe_security_groups", Filters=named)["SecurityGroups"]] == groups


def test_all_vpcs_of_an_allocation_are_removed(opened: Opened, moto: Ec2Client) -> None:
    subject = opened()
    subject.allocate(subject.allocation())
    named = [{"Name": "tag:pragmaspec-lineage", "Values": [subject.lineage]}]
    (first,) = moto.call("describe_vpcs", Filters=named)["Vpcs"]
    second = moto.call("create_vpc", CidrBlock=RANGE)["Vpc"]["VpcId"]
    moto.call("create_tags", Resources=[second], Tags=first["Tags"])
    subject.clean_all()
    assert moto.call("describe_vpcs", Filters=named)["Vpcs"] == []
