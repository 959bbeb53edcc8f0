"""Translation of errors of the EC2 API and of botocore by one table.

Codes: Amazon EC2 API Reference, "Error codes for the Amazon EC2 API"; others are those of OpenStack's ec2-api.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteInUseError, SiteUnreachableError
from pragmaspec.providers.errors import ErrorRow, ErrorTable

MISSING = r".*NotFound(Exception)?|.*\.NotFound|.*\.Unknown|InvalidAMIID\.Unavailable"
IN_USE = r"DependencyViolation|InvalidNetworkInterface\.InUse|InvalidGroup\.InUse|VolumeInUse|InvalidSnapshot\.InUse"
TAKEN = (
    r"InvalidIPAddress\.InUse|IpAddressAlreadyAllocatedClient|InvalidSubnet\.Conflict|Resource\.AlreadyAssociated|"
    r"InvalidAddress\.Locked|InvalidAMIName\.Duplicate|InvalidVpc\.Range\.Conflict"
)
UNSUPPORTED = (
    r"InvalidAction|InvalidRequest|UnsupportedOperation|UnknownOperation.*|NotImplemented|Unsupported|OperationNotPermitted"
)
THROTTLED = r"RequestLimitExceeded|Throttling(Exception)?|RequestThrottled(Exception)?|SlowDown|TooManyRequestsException"
_CAPACITY = (
    r"Insufficient.*|.*LimitExceeded|.*QuotaExceeded.*|OverQuota|ResourceCountExceeded|MaxSpotInstanceCountExceeded|"
    r"SpotMaxPriceTooLow|UnfulfillableCapacity|ServiceQuotaExceededException|InstanceCreditSpecification.*Exceeded"
)
_FORBIDDEN = (
    r"AuthFailure|UnauthorizedOperation|AccessDenied(Exception)?|Blocked|OptInRequired|InvalidClientTokenId|Signature.*|"
    r"InvalidAccessKeyId|UnrecognizedClient(Exception)?|PendingVerification|MissingAuthenticationToken|ExpiredToken|RequestExpired"
)
_FIRST_SERVER_ERROR = 500


def code_of(error: Exception) -> str:
    """Return the code of an error that the service reported; empty for any other."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, botocore.ClientError) else ""


def has_code(pattern: str) -> Callable[[Exception], bool]:
    """Return a condition: the code of the service's error matches ``pattern`` as a whole."""
    compiled = re.compile(pattern)
    return lambda error: compiled.fullmatch(code_of(error)) is not None


def is_server_error(error: Exception) -> bool:
    """True if the service failed, so that it is unknown whether the call took effect."""
    if not isinstance(error, botocore.ClientError):
        return False
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= _FIRST_SERVER_ERROR


def is_refusal(error: Exception) -> bool:
    """True if the call certainly had no effect."""
    return isinstance(error, botocore.ClientError) and not is_server_error(error)


@contextmanager
def ignoring(pattern: str) -> Iterator[None]:
    """Ignore errors whose code matches ``pattern``."""
    try:
        yield
    except botocore.ClientError as error:
        if not has_code(pattern)(error):
            raise


_CREDENTIALS = "Credentials are those of AWS's own tools: environment variables, `profile` of the site, or the instance's role."
_PLAN_AGAIN = "Plan again."

ERRORS = ErrorTable(
    "The EC2 service",
    (
        ErrorRow(
            botocore.ClientError,
            SiteUnreachableError,
            "The site refuses more requests for now",
            "Wait a minute, or reduce `parallel` of the site, then apply again.",
            when=has_code(THROTTLED),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteError,
            "The token was used for another request",
            "An earlier request of this creation had other parameters. Plan again.",
            when=has_code("IdempotentParameterMismatch|IdempotentInstanceTerminated"),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteConflictError,
            "Another owner holds this at the site",
            "Plan again, which chooses another one.",
            when=has_code(TAKEN),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteInUseError,
            "Other objects at the site use this",
            "Find them at the site, and remove them or leave this as it is.",
            when=has_code(IN_USE),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteCapacityError,
            "The site ran out of resources",
            "Ask for a larger quota, choose another instance type or zone, or remove clusters, then apply again.",
            when=has_code(_CAPACITY),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteError,
            "A volume was changed too recently",
            "AWS lets six hours pass between two changes of one volume. Apply again after that time.",
            when=has_code("VolumeModificationRateExceeded|IncorrectModificationState"),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteError,
            "The site does not allow this",
            f"{_CREDENTIALS} Their owner needs permission for this call.",
            when=has_code(_FORBIDDEN),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteError,
            "An object is missing at the site",
            f"It was removed meanwhile, or the site's options name an object that does not exist. {_PLAN_AGAIN}",
            when=has_code(MISSING),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteError,
            "The site does not support this",
            "Services differ: docs/ec2.md lists what each needs.",
            when=has_code(UNSUPPORTED),
        ),
        ErrorRow(
            botocore.ClientError,
            SiteUnreachableError,
            "The site failed to answer",
            "It is unknown whether the call took effect; the next apply finds out.",
            when=is_server_error,
        ),
        ErrorRow(botocore.ClientError, SiteError, "The site refused a call", _PLAN_AGAIN),
        ErrorRow(
            ResponseParserError,
            SiteUnreachableError,
            "The site failed to answer",
            "The answer is not one of the EC2 API: check the site's `endpoint`.",
        ),
        *(
            ErrorRow(kind, SiteError, "No credentials for the site", _CREDENTIALS)
            for kind in (
                botocore.NoCredentialsError,
                botocore.PartialCredentialsError,
                botocore.CredentialRetrievalError,
                botocore.ProfileNotFound,
                botocore.NoAuthTokenError,
                botocore.TokenRetrievalError,
                botocore.SSOError,
                botocore.MetadataRetrievalError,
                botocore.RefreshWithMFAUnsupportedError,
            )
        ),
        ErrorRow(
            botocore.SSLError,
            SiteUnreachableError,
            "The site's certificate is not trusted",
            "Name the authority's certificate in AWS_CA_BUNDLE.",
        ),
        *(
            ErrorRow(
                kind,
                SiteUnreachableError,
                "The site does not answer",
                "Check the site's `endpoint` and `region`, and the network and proxies of this machine.",
            )
            for kind in (botocore.ConnectionError, botocore.HTTPClientError, botocore.EndpointConnectionError)
        ),
        ErrorRow(
            botocore.NoRegionError, SiteError, "No region for the site", "Write `region` of the site, or set AWS_DEFAULT_REGION."
        ),
        *(
            ErrorRow(kind, SiteError, "A request to the site is invalid", "Check the options of the site.")
            for kind in (
                botocore.BotoCoreError,
                botocore.UndefinedModelAttributeError,
            )
        ),
    ),
)
