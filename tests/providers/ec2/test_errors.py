"""Every error of botocore is translated, by its code where the service reported it."""

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError
from botocore.parsers import ResponseParserError

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteInUseError, SiteUnreachableError
from pragmaspec.providers.ec2.errors import ERRORS


def refused(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "No."}, "ResponseMetadata": {"HTTPStatusCode": status}}, "RunInstances"
    )


def test_every_exception_has_a_row() -> None:
    assert ERRORS.uncovered(botocore.exceptions) == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refused("InvalidIPAddress.InUse"), SiteConflictError),
        (refused("IpAddressAlreadyAllocatedClient", 409), SiteConflictError),
        (refused("InvalidSubnet.Conflict"), SiteConflictError),
        (refused("Resource.AlreadyAssociated"), SiteConflictError),
        (refused("DependencyViolation"), SiteInUseError),
        (refused("InsufficientInstanceCapacity", 500), SiteCapacityError),
        (refused("VcpuLimitExceeded"), SiteCapacityError),
        (refused("VolumeLimitExceeded"), SiteCapacityError),
        (refused("VolumeModificationRateExceeded"), SiteError),
        (refused("AddressLimitExceeded"), SiteCapacityError),
        (refused("RequestLimitExceeded", 503), SiteUnreachableError),
        (refused("InternalError", 500), SiteUnreachableError),
        (ConnectTimeoutError(endpoint_url="http://cloud"), SiteUnreachableError),
        (ResponseParserError("not XML"), SiteUnreachableError),
        (refused("AuthFailure", 401), SiteError),
        (NoCredentialsError(), SiteError),
        (refused("IdempotentParameterMismatch"), SiteError),
        (refused("InvalidInstanceID.NotFound"), SiteError),
        (refused("SomethingNew"), SiteError),
    ],
    ids=lambda each: getattr(each, "response", {}).get("Error", {}).get("Code") or getattr(each, "__name__", str(each)),
)
def test_an_error_is_translated(error: Exception, kind: type[SiteError]) -> None:
    with pytest.raises(SiteError) as caught, ERRORS.translated("boot lab/hello/node/hello-frontend"):
        raise error
    assert type(caught.value) is kind
    assert "Could not boot lab/hello/node/hello-frontend" in caught.value.problems[0].detail
