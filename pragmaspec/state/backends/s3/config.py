"""Where in S3 a state lives, and the client that gets there."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from pragmaspec.credentials import check_state_url, url_error
from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.s3_urls import check_endpoint
from pragmaspec.net.state_urls import parse_s3_state_url
from pragmaspec.net.trust import TrustError
from pragmaspec.net.urls import UrlError, is_url
from pragmaspec.state.backends.s3.redirects import forbid_redirect_loops


class S3Config(NamedTuple):
    """A bucket and the key of the state in it. Empty options: AWS's own places decide."""

    bucket: str
    key: str
    region: str = ""
    endpoint: str = ""
    profile: str = ""

    @property
    def title(self) -> str:
        """The URL without options."""
        return f"s3://{self.bucket}/{self.key}"


def s3_config(url: str) -> S3Config:
    """The place that ``s3://bucket/key`` names, with ``?region=``, ``endpoint=`` and ``profile=``. Raises UsageError."""
    check_state_url(url)
    try:
        found = parse_s3_state_url(url)
    except UrlError as error:
        raise url_error(url, str(error)) from None
    if endpoint := found.options.get("endpoint", ""):
        check_state_url(endpoint)
    return S3Config(bucket=found.bucket, key=found.key, **found.options)


def s3_client(place: S3Config, patience: RetryPolicy, environ: Mapping[str, str] = os.environ) -> Any:  # noqa: ANN401 - no types
    """A client for ``place``, which tries each request once. Raises StateUnreachableError, and UsageError without botocore."""
    try:
        from botocore.config import Config  # noqa: PLC0415 - heavy, and only there when asked for
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "States in S3 need botocore", "It is not installed here. Install it with: pip install 'botocore>=1.35.70'"
        ) from None
    from pragmaspec.net.errors import ProxyUrlError  # noqa: PLC0415 - loads requests
    from pragmaspec.net.http import check_environ_proxy  # noqa: PLC0415

    endpoint = place.endpoint or _endpoint(place, environ)
    trusted = place._replace(endpoint=endpoint)
    said: Mapping[str, str] = {} if place.profile else environ  # a profile that was asked for comes first, as everywhere in AWS
    region = place.region or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
    config = Config(
        connect_timeout=patience.connect_timeout_s,
        read_timeout=patience.read_timeout_s,
        retries={"total_max_attempts": 1},
        # AWS's own names need the bucket in the host name; other servers seldom know it there.
        s3={"addressing_style": "path"} if endpoint else {},
        # What is sent carries a SHA-256 anyway; other stores refuse what newer clients add by themselves.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        check_environ_proxy(endpoint or "https://s3.amazonaws.com", environ)
        session = _session(place.profile)
        if not region and endpoint and not session.get_config_variable("region"):
            region = "us-east-1"  # other stores do not care
        client = session.create_client(
            "s3",
            region_name=region or None,
            endpoint_url=endpoint or None,
            aws_access_key_id=said.get("AWS_ACCESS_KEY_ID") or None,
            aws_secret_access_key=said.get("AWS_SECRET_ACCESS_KEY") or None,
            aws_session_token=said.get("AWS_SESSION_TOKEN") or None,
            verify=_bundle(trusted, session.get_config_variable("ca_bundle"), environ),
            config=config,
        )
        forbid_redirect_loops(client)
    except (TrustError, ProxyUrlError) as error:
        raise unreachable_error(place, error) from None
    except (BotoCoreError, ValueError) as error:
        raise unreachable_error(place, error) from None
    return client


def _endpoint(place: S3Config, environ: Mapping[str, str]) -> str:
    """The endpoint that the environment names; empty for AWS. Raises StateUnreachableError."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if endpoint := environ.get(name, ""):
            try:
                check_endpoint(endpoint)
            except UrlError as error:
                detail = f"{place.title}: {name} is wrong: {error}."
                raise StateUnreachableError("The state cannot be reached", detail) from None
            return endpoint
    return ""


def _bundle(place: S3Config, configured: str | None, environ: Mapping[str, str]) -> str | None:
    """The file of certificates to trust; None: botocore's own. Raises TrustError."""
    from pragmaspec.net.trust import ConfiguredPath, bundle_file, check_bundle  # noqa: PLC0415 - only a TLS connection needs it

    if is_url(place.endpoint, ("http",)):
        return None
    if configured:
        check_bundle(ConfiguredPath("AWS_CA_BUNDLE (or ca_bundle of the profile)", configured))
        return configured
    return bundle_file(environ) or None


@cache
def _loader() -> Any:  # noqa: ANN401 - no types
    """Reads the descriptions of AWS's services, which takes 0.2 s, once per process."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - heavy

    return create_loader()


def _session(profile: str) -> Any:  # noqa: ANN401 - no types
    from botocore.session import Session  # noqa: PLC0415 - heavy

    session = Session(profile=profile or None)
    session.register_component("data_loader", _loader())
    return session


def unreachable_error(place: S3Config, error: Exception | str) -> StateUnreachableError:
    """The error for a request that could not even be sent: no credentials, an unknown profile, a certificate."""
    return StateUnreachableError("The state cannot be reached", f"{place.title}: {error}.")
