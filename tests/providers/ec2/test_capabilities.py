"""The table of capabilities, and its copy in the documentation."""

from pathlib import Path

import pytest

from pragmaspec.providers.ec2.capabilities import CAPABILITIES, Capabilities
from pragmaspec.providers.ec2.client import Ec2Client
from pragmaspec.providers.ec2.settings import Ec2Settings
from tests.providers.ec2.doubles import AnsweringClient, refused

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


def test_a_capability_is_probed_once() -> None:
    client = AnsweringClient(Ec2Settings(), {"describe_instance_types": {"InstanceTypes": []}})
    capabilities = Capabilities(client)
    assert [capabilities.has("instance_types") for _ in range(3)] == [True] * 3
    assert len(client.calls) == 1
