"""Creations of machines that moto does not simulate: tokens of removed machines, refusals, and failures after the answer."""

from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from pragmaspec.errors import SiteCapacityError, SiteError
from pragmaspec.providers.base import BootRequest
from pragmaspec.providers.ec2.boot import NodeBoot
from pragmaspec.providers.ec2.errors import ERRORS
from pragmaspec.providers.ec2.marks import Marked, note_of
from pragmaspec.providers.ec2.settings import InstanceType
from pragmaspec.providers.ec2.sizes import Sizes
from pragmaspec.resources import Allocation, Mark, Network, Nic, Node
from tests.providers.ec2.doubles import refused, service_of
from tests.providers.ec2.test_images import AMI, staged
from tests.simulation.clock import SimulatedClock

LINEAGE = "3f9a1c2b-0000-4000-8000-000000000000"
OP = "0123456789abcdef" * 2
ALLOCATION = Allocation(site="lab", cluster="hello", networks=(Network(name="private", cidr="10.0.0.0/16", dhcp=True),))
NODE = Node(
    site="lab", cluster="hello", name="hello-compute-0", role="compute", index=0, cpus=2, memory_mib=4096,
    disk_bytes=20 * 2**30, image="0" * 64, flavor="t3.medium",
    nics=(Nic(network="private", mac="", address="10.0.0.10", prefix=16),),
)  # fmt: skip
MARK = Mark(lineage=LINEAGE, address=NODE.address, op=OP)


class Account:
    """One subnet, and the interfaces and machines in it."""

    def __init__(self, *, token_errors: tuple[str, ...] = (), error: Exception | None = None, state: str = "running") -> None:
        self.interfaces: dict[str, dict] = {}
        self.requests: list[dict[str, Any]] = []
        self.instance: dict[str, Any] = {}
        self.state = state
        self.token_errors = list(token_errors)
        self.error = error

    @property
    def answers(self):
        part = Marked(Mark(lineage=LINEAGE, address=ALLOCATION.address), "network/private")
        subnet = {"SubnetId": "subnet-1", "CidrBlock": "10.0.0.0/16", "VpcId": "vpc-1", "Description": note_of(part)}
        group = {"GroupId": "sg-1", "Description": note_of(Marked(part.mark, "group"))}
        operations = (
            self.describe_network_interfaces, self.create_network_interface, self.delete_network_interface,
            self.run_instances, self.describe_instances, self.terminate_instances,
        )  # fmt: skip
        return {
            "describe_security_groups": {"SecurityGroups": [group]},
            "describe_vpcs": {"Vpcs": []},
            "describe_subnets": {"Subnets": [subnet]},
            "describe_images": {"Images": [AMI]},
            **{each.__name__: each for each in operations},
        }

    def describe_network_interfaces(self, **_):
        return {"NetworkInterfaces": list(self.interfaces.values())}

    def create_network_interface(self, **parameters):
        assert ip_address(parameters["PrivateIpAddress"])
        made = {"NetworkInterfaceId": "eni-1", "MacAddress": "02:00:00:00:00:01", **parameters}
        tags = parameters["TagSpecifications"][0]["Tags"]
        self.interfaces["eni-1"] = {**made, "Groups": [{"GroupId": each} for each in parameters["Groups"]], "TagSet": tags}
        return {"NetworkInterface": self.interfaces["eni-1"]}

    def delete_network_interface(self, NetworkInterfaceId):  # noqa: N803 - names of the API
        del self.interfaces[NetworkInterfaceId]
        return {}

    def run_instances(self, **parameters):
        self.requests.append(parameters)
        if self.error:
            raise self.error
        if self.token_errors:
            raise refused(self.token_errors.pop(0))
        attached = {**self.interfaces["eni-1"], "Attachment": {"DeviceIndex": 0}}
        self.instance = {
            "InstanceId": "i-1",
            "State": {"Name": "pending"},
            "InstanceType": parameters["InstanceType"],
            "Tags": parameters["TagSpecifications"][0]["Tags"],
            "NetworkInterfaces": [attached],
        }
        return {"Instances": [self.instance]}

    def describe_instances(self, **_):
        reason = {"Message": "Client.VolumeLimitExceeded"}
        instance = {**self.instance, "State": {"Name": self.state}, "StateReason": reason}
        return {"Reservations": [{"Instances": [instance]}] if self.instance else []}

    def terminate_instances(self, **_):
        return {}


def request(user_data: bytes = b"#cloud-config\n") -> BootRequest:
    return BootRequest(node=NODE, allocation=ALLOCATION, image=staged(AMI), mark=MARK, seed=b"", user_data=user_data)


def boot(account: Account, asked: BootRequest | None = None, **settings: Any) -> dict[str, str]:
    sizes = (InstanceType(name="t3.medium", cpus=2, memory_mib=4096),)
    service = service_of(account.answers, "tag_at_creation", sizes=sizes, clock=SimulatedClock(), **settings)
    with ERRORS.translated("boot it"):
        return dict(NodeBoot(service, Sizes(service), asked or request()).run())


def test_the_request_of_a_machine() -> None:
    account = Account()
    assert boot(account, key="admin", tags=(("project", "pragma"),)) == {"id": "i-1", "mac:private": "02:00:00:00:00:01"}
    (asked,) = account.requests
    tags = {tag["Key"]: tag["Value"] for tag in asked.pop("TagSpecifications")[0]["Tags"]}
    assert asked == {
        "ImageId": "ami-1",
        "InstanceType": "t3.medium",
        "MinCount": 1,
        "MaxCount": 1,
        "NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": "eni-1"}],
        "UserData": b"#cloud-config\n",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "DeleteOnTermination": True}}],
        "KeyName": "admin",
        "ClientToken": f"{OP}-0",
    }
    assert tags == {
        "project": "pragma",
        "Name": "hello-compute-0",
        "pragmaspec-lineage": LINEAGE,
        "pragmaspec-address": NODE.address,
        "pragmaspec-generation": "generation-0",
        "pragmaspec-op": f"op-{OP}",
        "pragmaspec-disk": "bytes-21474836480",
    }
    assert not any(value.isdecimal() for value in tags.values()), "ec2-api fails on values that read as numbers"
    assert not any(":" in key for key in tags), "ec2-api cannot filter such keys"


def test_a_spot_machine_can_be_stopped() -> None:
    account = Account()
    boot(account, market="spot")
    (asked,) = account.requests
    options = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
    assert asked["InstanceMarketOptions"] == {"MarketType": "spot", "SpotOptions": options}
    assert [each["ResourceType"] for each in asked["TagSpecifications"]] == ["instance", "volume", "spot-instances-request"]


def test_the_token_of_a_removed_machine_is_not_used_again() -> None:
    account = Account(token_errors=("IdempotentInstanceTerminated", "IdempotentInstanceTerminated"))
    assert boot(account)["id"] == "i-1"
    assert [each["ClientToken"] for each in account.requests] == [f"{OP}-{attempt}" for attempt in range(3)]


@pytest.mark.parametrize(
    ("code", "kind", "summary"),
    [
        ("IdempotentParameterMismatch", SiteError, "token was used for another request"),
        ("InsufficientInstanceCapacity", SiteCapacityError, "ran out of resources"),
        ("InvalidAMIID.NotFound", SiteError, "missing at the site"),
    ],
)
def test_a_refused_machine_leaves_nothing(code: str, kind: type[SiteError], summary: str) -> None:
    account = Account(error=refused(code))
    with pytest.raises(kind, match=summary):
        boot(account)
    assert account.interfaces == {}


def test_a_lost_answer_keeps_the_claim() -> None:
    account = Account(error=refused("InternalError", status=500))
    with pytest.raises(SiteError):
        boot(account)
    assert list(account.interfaces) == ["eni-1"], "a machine may be using it"


def test_a_machine_that_the_site_gave_up_leaves_nothing() -> None:
    account = Account(state="terminated")
    with pytest.raises(SiteCapacityError, match="VolumeLimitExceeded"):
        boot(account)
    assert account.interfaces == {}


def test_large_user_data_is_refused_and_never_shown() -> None:
    account = Account()
    with pytest.raises(SiteError) as refusal:
        boot(account, request(b"secret" * 3000))
    assert "secret" not in str(refusal.value)
    assert (account.requests, account.interfaces) == ([], {})


def test_errors_do_not_show_user_data() -> None:
    account = Account(error=refused("InvalidParameterValue"))
    with pytest.raises(SiteError) as refusal:
        boot(account, replace(request(), user_data=b"a secret key"))
    assert "secret" not in f"{refusal.value!r} {refusal.value.__cause__!r}"
