"""URLs of states: of an HTTP server with Terraform's protocol, of S3, of PostgreSQL.

Source for PostgreSQL: its manual, "Connection URIs" (libpq), with the name of the state after that of the database.
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
_MOST_NAME_BYTES = 200


class HttpStateUrl(NamedTuple):
    """A state on an HTTP server. ``managed``: GitLab or Gitea keeps it, by the form of the address."""

    url: Url
    managed: bool


class PostgresqlStateUrl(NamedTuple):
    """The state ``name`` in a database. ``url`` has server and user, ``options`` what the query says."""

    url: Url
    database: str
    name: str
    options: Mapping[str, str]


def parse_http_state_url(text: str) -> HttpStateUrl:
    """The state that an http or https URL names. Raises UrlError."""
    url = parse_url(text)
    if url.fragment:
        raise UrlError("there is a # in it, and what follows would not be sent")
    path = url.path.rstrip("/")
    managed = _MANAGED.search(path)
    if managed and managed.end() != len(path):
        raise UrlError("the name of a GitLab or Gitea state cannot contain /")
    return HttpStateUrl(url, managed is not None)


def parse_s3_state_url(text: str) -> S3Url:
    """The state that ``s3://BUCKET/KEY`` names. Raises UrlError."""
    found = parse_s3_url(text, S3_OPTIONS)
    if not found.key or found.key.endswith("/"):
        raise UrlError("it must be s3://BUCKET/KEY, for example s3://our-clusters/hello.json")
    return found


def parse_postgresql_state_url(text: str) -> PostgresqlStateUrl:
    """The state that ``postgresql://[USER@][HOST[:PORT]]/DATABASE/NAME`` names. Raises UrlError."""
    url = parse_url(text, ("postgresql", "postgres"), host_needed=False, blanks=True)
    database, _, name = (unquote(part) for part in url.path.lstrip("/").partition("/"))
    if not database or not name or url.fragment:
        raise UrlError(
            "it must be postgresql://HOST/DATABASE/NAME, where NAME is that of the state, so that several states have room in "
            "one database: postgresql://db.example.org/clusters/hello"
        )
    if not name.isprintable() or not database.isprintable() or len(name.encode()) > _MOST_NAME_BYTES:
        raise UrlError(f"the name must be printable and at most {_MOST_NAME_BYTES} bytes long")
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := sorted(set(options).difference(POSTGRESQL_OPTIONS)):
        raise UrlError(f"there is no option `{unknown[0]}`; there are {', '.join(POSTGRESQL_OPTIONS)}")
    if not _SCHEMA.fullmatch(options.get("schema", "pragmaspec")):
        raise UrlError("the schema must begin with a letter, and hold at most 63 letters, digits and _")
    if options.get("sslmode", "require") not in _SSL_MODES:
        raise UrlError(f"`sslmode` is one of {', '.join(_SSL_MODES)}")
    return PostgresqlStateUrl(url, database, name, options)


def check_state_url(text: str) -> None:
    """Raise UrlError unless ``text``, whose scheme is one of a state's, is a sound URL of a state."""
    scheme = text.partition(":")[0].lower()
    if scheme in WEB_SCHEMES:
        parse_http_state_url(text)
    elif scheme == "s3":
        parse_s3_state_url(text)
    else:
        parse_postgresql_state_url(text)
