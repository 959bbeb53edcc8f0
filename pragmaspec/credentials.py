"""Credentials of state backends: from the environment and the usual files, never from a URL, the spec or an argument."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from pragmaspec.errors import UsageError
from pragmaspec.net.urls import WEB_SCHEMES, UrlError, parse_url, redact_url, same_server, scheme_of

_HTTP_SOURCE = "the variables PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN), or ~/.netrc"
_S3_SOURCE = "AWS's configuration: the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or ~/.aws/credentials"
_POSTGRESQL_SOURCE = "PostgreSQL's configuration: the variable PGPASSWORD, or ~/.pgpass"
CREDENTIAL_SOURCES: Mapping[str, str] = {
    "http": _HTTP_SOURCE,
    "https": _HTTP_SOURCE,
    "s3": _S3_SOURCE,
    "postgresql": _POSTGRESQL_SOURCE,
    "postgres": _POSTGRESQL_SOURCE,
}
"""The human-readable source of the credentials for each URL scheme."""

_SECRET_NAME = re.compile(r"pass(word|wd|file)?$|token|secret|signature|credential|api_?key", re.IGNORECASE)
_CREDENTIALS_IN_URL = "The URL of the state contains credentials"


class Basic(NamedTuple):
    """User name and password of HTTP basic authentication (RFC 7617)."""

    username: str
    password: str


class Bearer(NamedTuple):
    """A bearer token (RFC 6750)."""

    token: str


def check_state_url(url: str) -> None:
    """Raise UsageError if ``url`` is invalid or contains a probable secret, and name the place for it.

    Paths and unknown schemes pass: the registry of backends decides about them.
    """
    scheme = scheme_of(url)
    if scheme not in CREDENTIAL_SOURCES:
        return
    source = CREDENTIAL_SOURCES[scheme]
    allows_user = scheme in {"postgresql", "postgres"}
    try:
        parts = parse_url(url, CREDENTIAL_SOURCES, host_needed=not allows_user, blanks=scheme not in WEB_SCHEMES)
    except UrlError as error:
        raise url_error(url, str(error)) from None
    if parts.password is not None or (parts.user is not None and not allows_user):
        raise UsageError(
            _CREDENTIALS_IN_URL,
            f"{redact_url(url)} was given with a user or password, which would appear in git, in logs and in the list of "
            f"processes. Remove it: it is taken from {source}. If it was committed or displayed, replace it.",
        )
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SECRET_NAME.search(name):
            raise UsageError(
                _CREDENTIALS_IN_URL,
                f"{redact_url(url)} was given with `{name}=`, which looks like a secret. Remove it: credentials are taken from "
                f"{source}. If it was committed or displayed, replace it.",
            )


def url_error(url: str, reason: str) -> UsageError:
    """Return the error for an invalid URL of a state; ``reason`` is a clause without full stop."""
    return UsageError("The URL of the state is wrong", f"{redact_url(url)}: {reason}.")


def http_credentials(url: str, environ: Mapping[str, str] = os.environ) -> Basic | Bearer | None:
    """Return the credentials for the server of ``url``, if any; the caller reads ``~/.netrc``.

    ``PRAGMASPEC_HTTP_*`` take precedence. Terraform's ``TF_HTTP_USERNAME`` and ``TF_HTTP_PASSWORD`` are used only if
    ``TF_HTTP_ADDRESS`` is on the same server: a spec from a stranger must not send them elsewhere. The token of a GitLab job is
    used only for its own GitLab. Raises UsageError if they are incomplete, or would be sent unencrypted.
    """
    found = _http_credentials(url, environ)
    if found is not None:
        require_private_transport(url)
    return found


def require_private_transport(url: str) -> None:
    """Raise UsageError if credentials for ``url`` would be sent unencrypted to another machine."""
    parts = parse_url(url)
    if parts.scheme == "http" and not parts.is_local:
        raise UsageError(
            "Credentials would be sent unencrypted",
            f"{redact_url(url)} begins with http:, so the password that is set for it could be read on the way. Use https:, or a "
            "tunnel to a port of this machine.",
        )


def _http_credentials(url: str, environ: Mapping[str, str]) -> Basic | Bearer | None:
    if token := environ.get("PRAGMASPEC_HTTP_TOKEN", ""):
        return Bearer(token)
    if found := _basic(environ, "PRAGMASPEC_HTTP_USERNAME", "PRAGMASPEC_HTTP_PASSWORD"):
        return found
    terraform = same_server(url, environ.get("TF_HTTP_ADDRESS", ""))
    if terraform and (found := _basic(environ, "TF_HTTP_USERNAME", "TF_HTTP_PASSWORD")):
        return found
    api, token = environ.get("CI_API_V4_URL", ""), environ.get("CI_JOB_TOKEN", "")
    if token and same_server(url, api) and url.startswith(api.rstrip("/") + "/"):
        return Basic("gitlab-ci-token", token)
    return None


def _basic(environ: Mapping[str, str], user: str, password: str) -> Basic | None:
    values = environ.get(user, ""), environ.get(password, "")
    if all(values):
        return Basic(*values)
    if any(values):
        missing = password if values[0] else user
        raise UsageError("Credentials are incomplete", f"Of {user} and {password}, {missing} is not set. Set both, or neither.")
    return None
