"""The table of capabilities, and its copy in the documentation."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from pragmaspec.errors import SiteError
from pragmaspec.planning.observed import SiteIdentity
from pragmaspec.providers.ec2.capabilities import CAPABILITIES, Capabilities
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.observe import site_inventory
from pragmaspec.providers.ec2.settings import Ec2Settings
from pragmaspec.providers.ec2.sizes import Sizes
from tests.providers.ec2.doubles import AnsweringClient, refused, service_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "ec2.md"


def test_the_table_is_documented() -> None:
    rows = [f"| `{each.name}` | {each.meaning} | {each.without} |" for each in CAPABILITIES]
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [row for row in rows if row not in text] == []


def test_moto_has_all_but_the_quotas_of_aws(moto: Ec2Client) -> None:
    capabilities = Capabilities(moto)
    assert [each.name for each in CAPABILITIES if not capabilities.has(each.name)] == ["quotas"]


@pytest.mark.parametrize(
    ("code", "status", "known"),
    [
        ("InvalidVpcID.NotFound", 400, True),
        ("UnauthorizedOperation", 403, True),
        ("InvalidRequest", 400, False),
        ("TypeError", 500, False),
        ("UnknownParameter", 400, False),
    ],
)
def test_a_call_is_known_unless_the_service_does_not_understand_it(code: str, status: int, known: bool) -> None:
    def answer(**_):
        raise refused(code, "CreateSubnet", status)

    capabilities = Capabilities(AnsweringClient(Ec2Settings(), {"create_subnet": answer}))
    assert capabilities.has("tag_at_creation") is known


def platforms(*values: str):
    described = {"AttributeName": "supported-platforms", "AttributeValues": [{"AttributeValue": value} for value in values]}
    return {"AccountAttributes": [described]}


@pytest.mark.parametrize(
    ("vpcs", "attributes", "has"),
    [
        ([{"VpcId": "vpc-1"}], {}, True),
        ([], platforms("VPC"), True),
        ([], platforms("EC2", "VPC"), True),
        ([], {}, True),
        ([], platforms("EC2"), False),
    ],
    ids=["it has one", "it could", "it could beside others", "it does not tell", "it runs machines elsewhere"],
)
def test_vpcs_are_found(vpcs: list, attributes: dict, has: bool) -> None:
    answers = {"describe_vpcs": {"Vpcs": vpcs}, "describe_account_attributes": attributes}
    assert Capabilities(AnsweringClient(Ec2Settings(), answers)).has("vpcs") is has


@pytest.mark.parametrize(("code", "status"), [("InvalidAction", 400), ("UnsupportedOperation", 400)])
def test_a_service_that_does_not_know_vpcs_has_none(code: str, status: int) -> None:
    def answer(**_):
        raise refused(code, "DescribeVpcs", status)

    assert not Capabilities(AnsweringClient(Ec2Settings(), {"describe_vpcs": answer})).has("vpcs")


def test_a_service_that_fails_is_not_one_without_vpcs() -> None:
    def answer(**_):
        raise refused("InternalFailure", "DescribeVpcs", 500)

    with pytest.raises(ClientError):
        Capabilities(AnsweringClient(Ec2Settings(), {"describe_vpcs": answer})).has("vpcs")


def test_a_plan_at_a_cloud_without_vpcs_is_refused() -> None:
    service = service_of({})
    with pytest.raises(SiteError, match=r"The service of site lab chooses .* Use a service with VPCs"):
        site_inventory(service, Sizes(service), SiteIdentity(id="a", title="ec2"))


def test_a_capability_is_probed_once() -> None:
    client = AnsweringClient(Ec2Settings(), {"describe_instance_types": {"InstanceTypes": []}})
    capabilities = Capabilities(client)
    assert [capabilities.has("instance_types") for _ in range(3)] == [True] * 3
    assert len(client.calls) == 1
