"""Configuration of a state in S3, and its client."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from pragmaspec.credentials import check_state_url, url_error
from pragmaspec.errors import StateUnreachableError, UsageError
from pragmaspec.net import s3
from pragmaspec.net.retry import RetryPolicy
from pragmaspec.net.state_urls import parse_s3_state_url
from pragmaspec.net.urls import UrlError


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


def s3_client(config: S3Config, retry: RetryPolicy, environ: Mapping[str, str] = os.environ) -> s3.Client:
    """Return a client that sends each request once. Raises StateUnreachableError, and UsageError without botocore.

    An explicit profile takes precedence over credentials in the environment, as everywhere in AWS.
    """
    try:
        session = s3.open_session(config.profile)
        endpoint = config.endpoint or s3.endpoint_from_environment(environ)
        region = config.region or s3.find_region(session, endpoint, environ)
        credentials = None if config.profile else environ
        return s3.create_client(session, endpoint=endpoint, region=region, policy=retry, credentials=credentials, environ=environ)
    except s3.BotocoreMissingError:
        raise UsageError(
            "States in S3 need botocore",
            "It is not installed here. Install it with: pip install 'botocore>=1.35.70'",
        ) from None
    except s3.S3ConfigError as error:
        raise unreachable_error(config, error) from None


def unreachable_error(config: S3Config, reason: Exception | str) -> StateUnreachableError:
    """Return the error for a request that cannot be sent: missing credentials, an unknown profile, an invalid certificate."""
    return StateUnreachableError("The state cannot be reached", f"{config.title}: {reason}.")
