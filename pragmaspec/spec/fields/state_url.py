"""The location of the state in the spec: a directory, or a URL without credentials."""

import re
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import Field

from pragmaspec.net.state_urls import check_state_url
from pragmaspec.net.urls import UrlError
from pragmaspec.spec.fields.scalars import ScalarField, boolean
from pragmaspec.spec.findings import listed
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.value_errors import SECRET_NAME, value_error, value_text
from pragmaspec.text import closest

CREDENTIALS = {
    "http": "PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN)",
    "https": "PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN)",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ~/.aws/credentials)",
    "postgresql": "PGPASSWORD (or ~/.pgpass)",
    "postgres": "PGPASSWORD (or ~/.pgpass)",
}
"""The settings that provide the credentials instead of the URL, by scheme."""
SCHEMES = (*CREDENTIALS, "file")
URL_PATTERN = r"^(https?://[^\s@/]+(/[^\s]*)?|s3://[^\s@/]+/[^\s@]+|postgres(ql)?://([^\s@:/]+@)?[^\s@/]*/[^\s@/]+/[^\s@]+|file:[^\s:@]+|[^\s:@]([^\n:]*[^\s:])?)$"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_LOGIN = re.compile(r"[a-z0-9]+:/*([^/?#\s]*)@")
_ADVICE = "write a directory, or a URL that begins with https://, s3:// or postgresql://"


def state_url() -> ScalarField:
    """Return a field type for directories, and URLs of a supported scheme with a host and without credentials."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not value or value != value.strip() or "\n" in value:
            problem = f"{value_text(value)} is not a directory or URL" if value else "the value is empty"
            raise value_error("Invalid state location", f"{problem}; {_ADVICE}")
        text = str(value)
        scheme = _SCHEME.match(text)
        if scheme is None:
            return text
        _check_scheme(scheme[1], text)
        if scheme[1] != "file":
            _check_url(scheme[1], text)
        return text

    return ScalarField(read, {"type": "string", "pattern": URL_PATTERN})


def _check_scheme(scheme: str, text: str) -> None:
    if scheme in SCHEMES:
        return
    known = [one for one in SCHEMES if one != "postgres"]
    close = closest(scheme, known)
    advice = f"write `{close}:`" if close else f"supported are {listed(known)}"
    raise value_error("Unsupported URL scheme", f"{value_text(scheme + ':')} in {value_text(text)} is not supported; {advice}")


def _check_url(scheme: str, text: str) -> None:
    _reject_secrets(scheme, text)
    try:
        check_state_url(text)
    except UrlError as error:
        raise value_error("Invalid state location", f"{value_text(text)} cannot be used: {error}") from None


def _reject_secrets(scheme: str, text: str) -> None:
    login = _LOGIN.match(text)
    query = parse_qsl(text.partition("?")[2], keep_blank_values=True)
    secret = next((name for name, _ in query if SECRET_NAME.fullmatch(name)), None)
    password = login is not None and ":" in login[1]
    if password or secret or (login and not scheme.startswith("postgres")):
        part = "the password" if password else f"`{secret}=`" if secret else "the user name before the @"
        raise value_error(
            "Secret in the spec",
            f"remove {part} from the URL, and set {CREDENTIALS[scheme]} instead; replace it if it was committed or shared",
        )


class StateModel(Model):
    """The location of the recorded state."""

    url: Annotated[str, state_url()] = Field(
        description="A directory (relative to the spec), or a URL without credentials: https://, http://, s3://, postgresql://.",
        examples=["s3://clusters/hello"],
    )
    encrypt: Annotated[bool, boolean()] = Field(
        default=False, description="If true, the state is encrypted with the stack's key.", examples=[True]
    )
