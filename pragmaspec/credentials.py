"""Where the stores' credentials come from: the environment and the stores' usual files, never a URL, the spec or an argument."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from pragmaspec.errors import UsageError
from pragmaspec.net.urls import WEB_SCHEMES, UrlError, parse_url, redact_url, same_server, scheme_of

CREDENTIAL_SOURCES: Mapping[str, str] = {
    "http": "the variables PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN), or ~/.netrc",
    "https": "the variables PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN), or ~/.netrc",
    "s3": "AWS's own places: the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or ~/.aws/credentials",
    "postgresql": "PostgreSQL's own places: the variable PGPASSWORD, or ~/.pgpass",
    "postgres": "PostgreSQL's own places: the variable PGPASSWORD, or ~/.pgpass",
}
"""Scheme of a state's URL → where its credentials are looked for, in words for a person."""

_SECRET_NAME = re.compile(r"pass(word|wd|file)?$|token|secret|signature|credential|api_?key", re.IGNORECASE)


class Basic(NamedTuple):
    """User and password of HTTP basic authentication (RFC 7617)."""

    username: str
    password: str


class Bearer(NamedTuple):
    """A token (RFC 6750)."""

    token: str


def check_state_url(url: str) -> None:
    """Raise UsageError when ``url`` is unsound or carries what may be a secret, naming the place where that belongs.

    Kinds of places that nothing here knows, and folders, pass: they are looked up in the table.
    """
    scheme = scheme_of(url)
    if scheme not in CREDENTIAL_SOURCES:
        return
    source = CREDENTIAL_SOURCES[scheme]
    names_user = scheme in {"postgresql", "postgres"}
    try:
        parts = parse_url(url, CREDENTIAL_SOURCES, host_needed=not names_user, blanks=scheme not in WEB_SCHEMES)
    except UrlError as error:
        raise url_error(url, str(error)) from None
    if parts.password is not None or (parts.user is not None and not names_user):
        raise UsageError(
            "A URL of a state must not hold credentials",
            f"{redact_url(url)} was given with a user or password in it, which would end up in git, in logs and in the "
            f"list of processes. Leave it out: it is taken from {source}. If it was committed or shown, replace it.",
        )
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SECRET_NAME.search(name):
            raise UsageError(
                "A URL of a state must not hold credentials",
                f"{redact_url(url)} was given with `{name}=`, which looks like a secret. Leave it out: credentials are "
                f"taken from {source}. If it was committed or shown, replace it.",
            )


def url_error(url: str, why: str) -> UsageError:
    """The error for the URL of a state that cannot be; ``why`` is a clause without a full stop."""
    return UsageError("The URL of the state is wrong", f"{redact_url(url)}: {why}.")


def http_credentials(url: str, environ: Mapping[str, str] = os.environ) -> Basic | Bearer | None:
    """What to show the server of ``url``; None: nothing is set (``~/.netrc`` is then the caller's business).

    First ``PRAGMASPEC_HTTP_*``. Then Terraform's ``TF_HTTP_USERNAME`` and ``TF_HTTP_PASSWORD``, only when ``TF_HTTP_ADDRESS`` is
    at the same server: a spec from a stranger must not send them elsewhere. Then the token of a GitLab job, for its own GitLab.
    Raises UsageError when they are incomplete, or would travel unencrypted.
    """
    found = _http_credentials(url, environ)
    if found is not None:
        require_private_transport(url)
    return found


def require_private_transport(url: str) -> None:
    """Raise UsageError when credentials sent to ``url`` could be read on the way."""
    parts = parse_url(url)
    if parts.scheme == "http" and not parts.is_local:
        raise UsageError(
            "Credentials would travel unencrypted",
            f"{redact_url(url)} begins with http:, so everybody on the way could read the password that is set for it. "
            "Use https:, or a tunnel to a port of this machine.",
        )


def _http_credentials(url: str, environ: Mapping[str, str]) -> Basic | Bearer | None:
    if token := environ.get("PRAGMASPEC_HTTP_TOKEN", ""):
        return Bearer(token)
    if found := _pair(environ, "PRAGMASPEC_HTTP_USERNAME", "PRAGMASPEC_HTTP_PASSWORD"):
        return found
    if same_server(url, environ.get("TF_HTTP_ADDRESS", "")) and (found := _pair(environ, "TF_HTTP_USERNAME", "TF_HTTP_PASSWORD")):
        return found
    api, token = environ.get("CI_API_V4_URL", ""), environ.get("CI_JOB_TOKEN", "")
    if token and same_server(url, api) and url.startswith(api.rstrip("/") + "/"):
        return Basic("gitlab-ci-token", token)
    return None


def _pair(environ: Mapping[str, str], user: str, password: str) -> Basic | None:
    given = environ.get(user, ""), environ.get(password, "")
    if all(given):
        return Basic(*given)
    if any(given):
        missing = password if given[0] else user
        raise UsageError("Credentials are incomplete", f"Of {user} and {password}, {missing} is not set. Set both, or neither.")
    return None
