"""State URLs: HTTP servers with Terraform's protocol, S3, and PostgreSQL.

Source for PostgreSQL: its manual, "Connection URIs" (libpq); the name of the state follows that of the database.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from pragmaspec.net.s3_urls import S3Url, parse_s3_url
from pragmaspec.net.urls import WEB_SCHEMES, Url, UrlError, parse_url

S3_OPTIONS = ("endpoint", "profile", "region")
POSTGRESQL_OPTIONS = ("host", "schema", "sslcert", "sslkey", "sslmode", "sslrootcert")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MANAGED = re.compile(r"/api/v4/projects/[^/]+/terraform/state/[^/]+|/api/packages/[^/]+/terraform/state/[^/]+")
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MAX_NAME_BYTES = 200


class HttpStateUrl(NamedTuple):
    """A state on an HTTP server. ``managed`` is true if the URL has the form of GitLab or Gitea."""

    url: Url
    managed: bool


class PostgresqlStateUrl(NamedTuple):
    """The state ``name`` in a database. ``url`` has the server and user, ``options`` the query."""

    url: Url
    database: str
    name: str
    options: Mapping[str, str]


def parse_http_state_url(text: str) -> HttpStateUrl:
    """Parse the http or https URL of a state. Raises UrlError."""
    url = parse_url(text)
    if url.fragment:
        raise UrlError("it contains a #, and the part after it would not be sent")
    path = url.path.rstrip("/")
    managed = _MANAGED.search(path)
    if managed and managed.end() != len(path):
        raise UrlError("the name of a GitLab or Gitea state cannot contain /")
    return HttpStateUrl(url, managed is not None)


def parse_s3_state_url(text: str) -> S3Url:
    """Parse ``s3://BUCKET/KEY``. Raises UrlError."""
    url = parse_s3_url(text, S3_OPTIONS)
    if not url.key or url.key.endswith("/"):
        raise UrlError("it must be s3://BUCKET/KEY, for example s3://our-clusters/hello.json")
    return url


def parse_postgresql_state_url(text: str) -> PostgresqlStateUrl:
    """Parse ``postgresql://[USER@][HOST[:PORT]]/DATABASE/NAME``. Raises UrlError."""
    url = parse_url(text, ("postgresql", "postgres"), host_needed=False, blanks=True)
    database, _, name = (unquote(part) for part in url.path.lstrip("/").partition("/"))
    if not database or not name or url.fragment:
        raise UrlError(
            "it must be postgresql://HOST/DATABASE/NAME, where NAME is the name of the state; one database can hold several: "
            "postgresql://db.example.org/clusters/hello"
        )
    if not name.isprintable() or not database.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        raise UrlError(f"the name must be printable and at most {_MAX_NAME_BYTES} bytes long")
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := sorted(set(options).difference(POSTGRESQL_OPTIONS)):
        raise UrlError(f"it has an unknown option `{unknown[0]}`; the options are {', '.join(POSTGRESQL_OPTIONS)}")
    if not _SCHEMA.fullmatch(options.get("schema", "pragmaspec")):
        raise UrlError("the schema must start with a letter or _, and have at most 63 letters, digits and _")
    if options.get("sslmode", "require") not in _SSL_MODES:
        raise UrlError(f"`sslmode` must be one of {', '.join(_SSL_MODES)}")
    return PostgresqlStateUrl(url, database, name, options)


def check_state_url(text: str) -> None:
    """Raise UrlError unless ``text``, whose scheme is one of a state URL, is a valid state URL."""
    scheme = text.partition(":")[0].lower()
    if scheme in WEB_SCHEMES:
        parse_http_state_url(text)
    elif scheme == "s3":
        parse_s3_state_url(text)
    else:
        parse_postgresql_state_url(text)
