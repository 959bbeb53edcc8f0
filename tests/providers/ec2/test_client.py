"""The connection: endpoints, regions, repetitions and pages."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from pragmaspec.errors import SiteError, SiteUnreachableError
from pragmaspec.providers.ec2.client import TRIES, Answer, Ec2Client
from pragmaspec.providers.ec2.provider import Ec2Provider
from pragmaspec.providers.ec2.settings import Ec2Settings
from tests.providers.ec2.conftest import ec2_site
from tests.providers.ec2.doubles import refused
from tests.providers.ec2.moto_server import ENVIRONMENT


class Still:
    """A clock whose time passes only while a caller sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Failing(Ec2Client):
    """Each call raises the next of these errors, then succeeds."""

    def __init__(self, *errors: Exception, endpoint: str = "http://cloud.invalid/") -> None:
        super().__init__(Ec2Settings(endpoint=endpoint, region="eu-central-1"), Still())
        self.errors = list(errors)
        self.made = 0

    def _client(self, service: str, *, quick: bool = False) -> Any:
        client = super()._client(service, quick=quick)
        client.meta.events.register("before-call", self._answer, unique_id="failing")
        return client

    def _answer(self, **_: object) -> Any:
        self.made += 1
        if self.errors:
            raise self.errors.pop(0)

        class Response:
            status_code = 200

        return Response(), {"Vpcs": []}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


LOST = ConnectionClosedError(endpoint_url="http://cloud.invalid/")


def test_a_lost_answer_of_a_listing_is_repeated() -> None:
    client = Failing(LOST, LOST)
    assert client.call("describe_vpcs") == {"Vpcs": []}
    assert client.made == 3


def test_a_creation_is_not_repeated_after_a_lost_answer() -> None:
    client = Failing(LOST)
    with pytest.raises(ConnectionClosedError):
        client.call("create_vpc", CidrBlock="10.0.0.0/16")
    assert client.made == 1


def test_a_creation_that_the_service_was_too_busy_for_is_repeated() -> None:
    client = Failing(refused("RequestLimitExceeded", "CreateVpc", 503))
    client.call("create_vpc", CidrBlock="10.0.0.0/16")
    assert client.made == 2


def test_repetitions_end() -> None:
    client = Failing(*[LOST] * 9)
    with pytest.raises(ConnectionClosedError):
        client.call("describe_vpcs")
    assert client.made == TRIES


def test_a_new_object_may_be_unknown_for_some_time_at_aws() -> None:
    missing = refused("InvalidVpcID.NotFound", "CreateTags")
    client = Failing(missing, missing, endpoint="https://ec2.eu-central-1.amazonaws.com")
    client.settled("create_tags", Resources=["vpc-1"], Tags=[])
    assert client.made == 3
    with pytest.raises(ClientError):
        Failing(missing).settled("create_tags", Resources=["vpc-1"], Tags=[])


def test_pages_are_joined() -> None:
    class Paging(Ec2Client):
        def call(self, operation: str, **parameters: Any) -> Answer:
            last = parameters.get("NextToken") == "second"
            return {"Vpcs": [{"VpcId": "vpc-2" if last else "vpc-1"}], "NextToken": "" if last else "second"}

    found = [each["VpcId"] for each in Paging(Ec2Settings()).listed("describe_vpcs", "Vpcs")]
    assert found == ["vpc-1", "vpc-2"]


def test_other_services_of_aws_have_endpoints_of_their_own() -> None:
    named = Ec2Client(Ec2Settings(endpoint="https://ec2.eu-central-1.amazonaws.com", region="eu-central-1"))
    assert named.is_aws
    assert named._client("sts").meta.endpoint_url != named.endpoint
    other = Ec2Client(Ec2Settings(endpoint="http://cloud.invalid/services/compute/"))
    assert not other.is_aws
    assert other._client("ebs").meta.endpoint_url == other.endpoint
    assert other.region == ENVIRONMENT["AWS_DEFAULT_REGION"]


def test_a_site_that_does_not_answer_is_unreachable() -> None:
    provider = Ec2Provider(ec2_site("lab", endpoint="http://127.0.0.1:9/", region="eu-central-1"))
    with pytest.raises(SiteUnreachableError, match="endpoint"):
        provider.identity()


def test_an_unknown_profile_is_an_error_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Ec2Provider(ec2_site("lab", endpoint="http://127.0.0.1:9/", profile="no-such-profile"))
    with pytest.raises(SiteError, match="No credentials"):
        provider.identity()
