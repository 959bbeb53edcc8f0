"""Where the spec says that its state is recorded: a folder, or a URL without anything secret."""

import re
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from pragmaspec.spec.findings import listed, meant
from pragmaspec.spec.model import Model
from pragmaspec.spec.scalars import Scalar, boolean
from pragmaspec.spec.wrong import SECRET_NAME, shown, wrong

CREDENTIALS = {
    "http": "PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN)",
    "https": "PRAGMASPEC_HTTP_USERNAME and PRAGMASPEC_HTTP_PASSWORD (or PRAGMASPEC_HTTP_TOKEN)",
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ~/.aws/credentials)",
    "postgresql": "PGPASSWORD (or ~/.pgpass)",
    "postgres": "PGPASSWORD (or ~/.pgpass)",
}
"""Scheme → where the credentials belong instead of the URL."""
SCHEMES = (*CREDENTIALS, "file")
URL_PATTERN = r"^(https?://[^\s@/]+(/[^\s]*)?|s3://[^\s@/]+/[^\s@]+|postgres(ql)?://([^\s@:/]+@)?[^\s@]+|file:[^\s:@]+|[^\s:@]([^\n:]*[^\s:])?)$"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_ADVICE = "write a folder, or a URL that begins with https://, s3:// or postgresql://"


def state_url() -> Scalar:
    """A folder, or a URL of a known scheme with a host and without credentials."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not value or value != value.strip() or "\n" in value:
            raise wrong("Not a place for the state", f"{shown(value)} is not one; {_ADVICE}")
        text = str(value)
        scheme = _SCHEME.match(text)
        if scheme is None:
            return text
        _check_scheme(scheme[1], text)
        if scheme[1] != "file":
            _check_parts(scheme[1], text)
        return text

    return Scalar(read, {"type": "string", "pattern": URL_PATTERN})


def _check_scheme(scheme: str, text: str) -> None:
    if scheme in SCHEMES:
        return
    known = [one for one in SCHEMES if one != "postgres"]
    close = meant(scheme, known)
    advice = f"write `{close}:` instead" if close else f"known are {listed(known)}"
    raise wrong("Unknown kind of place", f"nothing is known of {shown(scheme + ':')} in {shown(text)}; {advice}")


def _check_parts(scheme: str, text: str) -> None:
    try:
        parts = urlsplit(text)
        host, user, password = parts.hostname, parts.username, parts.password
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise wrong("Not a place for the state", f"{shown(text)} is no URL; {_ADVICE}") from None
    secret = next((name for name, _ in query if SECRET_NAME.fullmatch(name)), None)
    if password is not None or secret or (user is not None and not scheme.startswith("postgres")):
        what = "the password" if password is not None else f"`{secret}=`" if secret else "what stands before the @"
        raise wrong(
            "A secret in the spec",
            f"remove {what} from the URL, and set {CREDENTIALS[scheme]} instead; if it was committed or shown, replace it",
        )
    if (not host and not scheme.startswith("postgres")) or (scheme == "s3" and not parts.path.strip("/")):
        raise wrong("Not a place for the state", f"{shown(text)} does not say where; write {_EXAMPLES[scheme]}")


_EXAMPLES = {
    "http": "http://host/path",
    "https": "https://host/path",
    "s3": "s3://bucket/key",
}


class StateModel(Model):
    """Where the state is recorded."""

    url: Annotated[str, state_url()] = Field(
        description="A folder (relative to the spec), or a URL: https://, http://, s3://, postgresql://. Without credentials.",
        examples=["s3://clusters/hello"],
    )
    encrypt: Annotated[bool, boolean()] = Field(
        default=False, description="Whether only holders of the stack's key can read it.", examples=[True]
    )
