"""Access to S3 with botocore: credentials, endpoint, region, trusted certificates; shared by images and state backends.

Source of the signature: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

import os
import threading
from collections.abc import Mapping
from functools import cache
from traceback import clear_frames
from typing import Any, TypeAlias

from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.s3_urls import check_endpoint, is_region
from pragmaspec.net.trust import ConfiguredPath, TrustError, bundle_file, check_bundle
from pragmaspec.net.urls import UrlError, is_url

Session: TypeAlias = Any
Client: TypeAlias = Any
Loader: TypeAlias = Any
"""Of botocore, which has no types."""

SIGNATURE_VALID_S = 3600
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


class S3ConfigError(Exception):
    """S3 is not usable as configured; the message is a clause without a full stop."""


class BotocoreMissingError(S3ConfigError):
    """botocore is not installed."""


class RedirectLoopError(Exception):
    """The server also redirects the request for a bucket's region."""


def endpoint_from_environment(environ: Mapping[str, str] = os.environ) -> str:
    """Return the endpoint that the environment configures; empty for AWS. Raises S3ConfigError."""
    for name in _ENDPOINT_VARIABLES:
        if endpoint := environ.get(name, ""):
            try:
                check_endpoint(endpoint)
            except UrlError as error:
                raise S3ConfigError(f"{name} is invalid: {error}") from None
            return endpoint
    return ""


def open_session(profile: str = "") -> Session:
    """Return a botocore session, which finds credentials as AWS's own tools do. Raises S3ConfigError."""
    try:
        from botocore import session as botocore  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - heavy, and an optional dependency
    except ImportError:
        raise BotocoreMissingError("botocore is not installed: pip install 'botocore>=1.35.70' (the extra `s3`)") from None
    try:
        session = botocore.Session(profile=profile or None)
        session.get_config_variable("region")  # reads the configuration files, and reports an unknown profile
    except BotoCoreError as error:
        raise S3ConfigError(str(error).rstrip(".")) from None
    session.register_component("data_loader", _data_loader())
    return session


def find_region(session: Session, endpoint: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the region that the environment or ``session`` (None for anonymous access) configures; empty for none.

    Servers other than AWS do not care, so with an ``endpoint`` the default is us-east-1. Raises S3ConfigError.
    """
    region = environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
    region = region or (session.get_config_variable("region") if session else "") or ("us-east-1" if endpoint else "")
    if region and not is_region(region):
        raise S3ConfigError("the configured region is not a region name, such as eu-central-1")
    return str(region or "")


def create_client(
    session: Session,
    *,
    endpoint: str,
    region: str,
    policy: RetryPolicy,
    credentials: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Client:
    """Create an S3 client that attempts each request once, with the timeouts of ``policy``. Raises S3ConfigError.

    ``credentials`` (``AWS_ACCESS_KEY_ID`` and so on) take precedence over those of ``session``. The client raises
    RedirectLoopError for a server that redirects without end.
    """
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - heavy, and an optional dependency

    from pragmaspec.net.errors import ProxyUrlError  # noqa: PLC0415 - loads requests
    from pragmaspec.net.http import check_environ_proxy  # noqa: PLC0415

    keys = credentials or {}
    try:
        check_environ_proxy(endpoint or "https://s3.amazonaws.com", environ)
        client = session.create_client(
            "s3",
            region_name=region or None,
            endpoint_url=endpoint or None,
            aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID") or None,
            aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY") or None,
            aws_session_token=keys.get("AWS_SESSION_TOKEN") or None,
            verify=_certificate_bundle(endpoint, session.get_config_variable("ca_bundle"), environ),
            config=_client_config(endpoint, policy),
        )
    except (TrustError, ProxyUrlError, BotoCoreError, ValueError) as error:
        raise S3ConfigError(str(error).rstrip(".")) from None
    forbid_redirect_loops(client)
    return client


def sign_url(session: Session, url: str, region: str) -> str:
    """Return ``url`` with a signature for GET, valid for an hour; empty without credentials. Raises S3ConfigError."""
    from botocore.auth import S3SigV4QueryAuth  # noqa: PLC0415 - heavy, and an optional dependency
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        credentials = session.get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials else None
    except BotoCoreError as error:
        raise S3ConfigError(str(error).rstrip(".")) from None
    if frozen is None:
        return ""
    request = AWSRequest(method="GET", url=url)
    S3SigV4QueryAuth(frozen, "s3", region, expires=SIGNATURE_VALID_S).add_auth(request)
    return str(request.url)


def forbid_redirect_loops(client: Client) -> None:
    """Let ``client`` look up a bucket's region once per redirect.

    On a redirect, botocore (``S3RegionRedirectorv2``) asks for the region with HeadBucket. If the server redirects that as well,
    botocore recurses until Python's stack is full; with this limit it raises RedirectLoopError instead.
    """
    lookups = _RegionLookups()

    def begin(**_arguments: object) -> None:
        if lookups.running:
            raise RedirectLoopError
        lookups.running += 1

    def end(**_arguments: object) -> None:
        lookups.running -= 1

    events = client.meta.events
    events.register("before-call.s3.HeadBucket", begin)
    events.register("after-call.s3.HeadBucket", end)
    events.register("after-call-error.s3.HeadBucket", end)


def release_responses(error: BaseException) -> None:
    """Let the connections of a failed request be closed now, not when Python's garbage collector finds them.

    If urllib3 or botocore fails after a response has begun, for example because of an invalid Location, only the frames of the
    error refer to that response, in a cycle with the error.
    """
    each: BaseException | None = error
    while each is not None:
        clear_frames(each.__traceback__)
        each = each.__context__


class _RegionLookups(threading.local):
    running = 0


def _client_config(endpoint: str, policy: RetryPolicy) -> Any:  # noqa: ANN401 - botocore has no types
    from botocore.config import Config  # noqa: PLC0415 - heavy, and an optional dependency

    return Config(
        connect_timeout=policy.connect_timeout_s,
        read_timeout=policy.read_timeout_s,
        retries={"total_max_attempts": 1},
        # AWS requires the bucket in the host name; other servers rarely resolve it there.
        s3={"addressing_style": "path"} if endpoint else {},
        # Requests carry a SHA-256 anyway; other servers reject the checksums that newer clients add.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _certificate_bundle(endpoint: str, configured: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the file of trusted certificates; None for botocore's own. Raises TrustError."""
    if is_url(endpoint, ("http",)):
        return None
    if configured:
        check_bundle(ConfiguredPath("AWS_CA_BUNDLE (or ca_bundle of the profile)", configured))
        return configured
    return bundle_file(environ) or None


@cache
def _data_loader() -> Loader:
    """Return the loader of AWS's service descriptions, shared because reading them takes 0.2 s."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - heavy, and an optional dependency

    return create_loader()
