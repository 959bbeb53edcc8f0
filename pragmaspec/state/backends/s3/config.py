"""Configuration of a state in S3, and its client."""

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
    """The bucket and the key of a state. An empty option is taken from AWS's own configuration."""

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
    """Return the configuration for ``s3://bucket/key`` with ``?region=``, ``endpoint=`` and ``profile=``. Raises UsageError."""
    check_state_url(url)
    try:
        found = parse_s3_state_url(url)
    except UrlError as error:
        raise url_error(url, str(error)) from None
    if endpoint := found.options.get("endpoint", ""):
        check_state_url(endpoint)
    return S3Config(bucket=found.bucket, key=found.key, **found.options)


def s3_client(config: S3Config, retry: RetryPolicy, environ: Mapping[str, str] = os.environ) -> Any:  # noqa: ANN401 - untyped
    """Return a client that sends each request once. Raises StateUnreachableError, and UsageError without botocore."""
    try:
        from botocore.config import Config  # noqa: PLC0415 - heavy, and optional
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "States in S3 need botocore",
            "It is not installed here. Install it with: pip install 'botocore>=1.35.70'",
        ) from None
    from pragmaspec.net.errors import ProxyUrlError  # noqa: PLC0415 - loads requests
    from pragmaspec.net.http import check_environ_proxy  # noqa: PLC0415

    endpoint = config.endpoint or _environ_endpoint(config, environ)
    # An explicit profile takes precedence over the environment, as everywhere in AWS.
    keys: Mapping[str, str] = {} if config.profile else environ
    region = config.region or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
    options = Config(
        connect_timeout=retry.connect_timeout_s,
        read_timeout=retry.read_timeout_s,
        retries={"total_max_attempts": 1},
        # AWS requires the bucket in the host name; other servers rarely resolve that.
        s3={"addressing_style": "path"} if endpoint else {},
        # Requests carry a SHA-256 anyway; other servers reject the checksums that newer clients add.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        check_environ_proxy(endpoint or "https://s3.amazonaws.com", environ)
        session = _session(config.profile)
        if not region and endpoint and not session.get_config_variable("region"):
            region = "us-east-1"  # ignored by other servers
        client = session.create_client(
            "s3",
            region_name=region or None,
            endpoint_url=endpoint or None,
            aws_access_key_id=keys.get("AWS_ACCESS_KEY_ID") or None,
            aws_secret_access_key=keys.get("AWS_SECRET_ACCESS_KEY") or None,
            aws_session_token=keys.get("AWS_SESSION_TOKEN") or None,
            verify=_ca_bundle(endpoint, session.get_config_variable("ca_bundle"), environ),
            config=options,
        )
        forbid_redirect_loops(client)
    except (TrustError, ProxyUrlError, BotoCoreError, ValueError) as error:
        raise unreachable_error(config, error) from None
    return client


def unreachable_error(config: S3Config, reason: Exception | str) -> StateUnreachableError:
    """Return the error for a request that cannot be sent: missing credentials, an unknown profile, an invalid certificate."""
    return StateUnreachableError("The state cannot be reached", f"{config.title}: {reason}.")


def _environ_endpoint(config: S3Config, environ: Mapping[str, str]) -> str:
    """Return the endpoint that the environment names, empty for AWS. Raises StateUnreachableError."""
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if endpoint := environ.get(name, ""):
            try:
                check_endpoint(endpoint)
            except UrlError as error:
                raise unreachable_error(config, f"{name} is wrong: {error}") from None
            return endpoint
    return ""


def _ca_bundle(endpoint: str, configured: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the file of trusted certificates, None for that of botocore. Raises TrustError."""
    from pragmaspec.net.trust import ConfiguredPath, bundle_file, check_bundle  # noqa: PLC0415 - needed only for TLS

    if is_url(endpoint, ("http",)):
        return None
    if configured:
        check_bundle(ConfiguredPath("AWS_CA_BUNDLE (or ca_bundle of the profile)", configured))
        return configured
    return bundle_file(environ) or None


@cache
def _loader() -> Any:  # noqa: ANN401 - untyped
    """Return the loader of AWS's service descriptions; it caches them, because that takes 0.2 s."""
    from botocore.loaders import create_loader  # noqa: PLC0415 - heavy

    return create_loader()


def _session(profile: str) -> Any:  # noqa: ANN401 - untyped
    from botocore.session import Session  # noqa: PLC0415 - heavy

    session = Session(profile=profile or None)
    session.register_component("data_loader", _loader())
    return session
