"""Where the spec says that its state is recorded: a folder, or a URL without anything secret."""

import re
from typing import Annotated
from urllib.parse import parse_qsl

from pydantic import Field

from pragmaspec.net.state_urls import check_state_url
from pragmaspec.net.urls import UrlError
from pragmaspec.spec.fields.scalars import ScalarField, boolean
from pragmaspec.spec.findings import closest_match, listed
from pragmaspec.spec.models.base import Model
from pragmaspec.spec.value_errors import SECRET_NAME, value_error, value_text

CREDENTIALS = {
    "http": "PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN)",
    "https": "PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN)",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ~/.aws/credentials)",
    "postgresql": "PGPASSWORD (or ~/.pgpass)",
    "postgres": "PGPASSWORD (or ~/.pgpass)",
}
"""Scheme → where the credentials belong instead of the URL."""
SCHEMES = (*CREDENTIALS, "file")
URL_PATTERN = r"^(https?://[^\s@/]+(/[^\s]*)?|s3://[^\s@/]+/[^\s@]+|postgres(ql)?://([^\s@:/]+@)?[^\s@/]*/[^\s@/]+/[^\s@]+|file:[^\s:@]+|[^\s:@]([^\n:]*[^\s:])?)$"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_LOGIN = re.compile(r"[a-z0-9]+:/*([^/?#\s]*)@")
_ADVICE = "write a folder, or a URL that begins with https://, s3:// or postgresql://"


def state_url() -> ScalarField:
    """A folder, or a URL of a known scheme with a host and without credentials."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not value or value != value.strip() or "\n" in value:
            raise value_error("Not a place for the state", f"{value_text(value)} is not one; {_ADVICE}")
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
    close = closest_match(scheme, known)
    advice = f"write `{close}:` instead" if close else f"known are {listed(known)}"
    raise value_error("Unknown kind of place", f"nothing is known of {value_text(scheme + ':')} in {value_text(text)}; {advice}")


def _check_url(scheme: str, text: str) -> None:
    _refuse_secrets(scheme, text)
    try:
        check_state_url(text)
    except UrlError as error:
        raise value_error("Not a place for the state", f"{value_text(text)} cannot be used: {error}") from None


def _refuse_secrets(scheme: str, text: str) -> None:
    login = _LOGIN.match(text)
    query = parse_qsl(text.partition("?")[2], keep_blank_values=True)
    secret = next((name for name, _ in query if SECRET_NAME.fullmatch(name)), None)
    password = login is not None and ":" in login[1]
    if password or secret or (login and not scheme.startswith("postgres")):
        what = "the password" if password else f"`{secret}=`" if secret else "what stands before the @"
        raise value_error(
            "A secret in the spec",
            f"remove {what} from the URL, and set {CREDENTIALS[scheme]} instead; if it was committed or shown, replace it",
        )


class StateModel(Model):
    """Where the state is recorded."""

    url: Annotated[str, state_url()] = Field(
        description="A folder (relative to the spec), or a URL: https://, http://, s3://, postgresql://. Without credentials.",
        examples=["s3://clusters/hello"],
    )
    encrypt: Annotated[bool, boolean()] = Field(
        default=False, description="Whether only holders of the stack's key can read it.", examples=[True]
    )
