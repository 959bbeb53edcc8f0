"""Field types for URLs and paths, which are validated when the spec is loaded."""

import re

from pragmaspec.net.s3_urls import IMAGE_OPTIONS, parse_s3_url
from pragmaspec.net.urls import WEB_SCHEMES, UrlError, parse_url, scheme_of
from pragmaspec.spec.fields.scalars import ScalarField, text
from pragmaspec.spec.value_errors import value_error, value_text
from pragmaspec.text import closest

WEB_URL_PATTERN = r"https?://[^\s@/?#\\]+([/?#][^\s\\]*)?"
_BUCKET_FORM = r"s3://[a-z0-9][a-z0-9._-]+[a-z0-9]"
PATH_PATTERN = r"[^\s:@]([^\n:]*[^\s:])?"
"""The patterns as far as JSON Schema can express them; :mod:`pragmaspec.net.urls` is stricter."""
_NETRC_ADVICE = "put them into ~/.netrc instead"
_CREDENTIAL_ADVICE = {"s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ~/.aws/credentials) instead"}
_LOGIN = re.compile(r"[a-z0-9+.-]+:/*[^/?#\s]*@", re.IGNORECASE)


def url_field(
    advice: str,
    *,
    schemes: tuple[str, ...] = WEB_SCHEMES,
    path: bool = False,
    directory: bool = False,
    words: tuple[str, ...] = (),
    credential_advice: str = _NETRC_ADVICE,
) -> ScalarField:
    """Return a field type for URLs of one of ``schemes`` without credentials, for ``words``, and with ``path`` for paths.

    With ``directory``, the URL is that of a directory, which may be a whole bucket. ``advice`` and ``credential_advice`` complete
    error messages.
    """
    bucket = rf"{_BUCKET_FORM}(/[^\s\\]*)?" if directory else rf"{_BUCKET_FORM}/[^\s\\]+"
    forms = [*words, WEB_URL_PATTERN, *([bucket] if "s3" in schemes else []), *([PATH_PATTERN] if path else [])]
    plain = text(f"^({'|'.join(forms)})$", advice)

    def read(value: object) -> object:
        if not isinstance(value, str) or value in words:
            return plain.read(value)
        scheme = scheme_of(value)
        if not scheme:
            return plain.read(value)
        _reject_login(value, _CREDENTIAL_ADVICE.get(scheme, credential_advice))
        _check_scheme(value, scheme, schemes, advice)
        try:
            parse_url(value, schemes)
            key = parse_s3_url(value, IMAGE_OPTIONS).key if scheme == "s3" else "of another kind"
        except UrlError as error:
            raise value_error("Invalid URL", f"{value_text(value)} cannot be used: {error}") from None
        if not key and not directory:
            raise value_error("Invalid URL", f"{value_text(value)} names a bucket, but no object in it; write s3://BUCKET/KEY")
        return str(value)

    return ScalarField(read, plain.schema)


def path_field(advice: str) -> ScalarField:
    """Return a field type for paths of local files."""
    plain = text(r"^[^\n\x00]+$", advice)

    def read(value: object) -> object:
        reject_url(value, advice)
        return plain.read(value)

    return ScalarField(read, plain.schema)


def reject_url(value: object, advice: str) -> None:
    """Raise an error if ``value`` is a URL, where the path of a local file is expected."""
    if isinstance(value, str) and "://" in value:
        raise value_error("Not a local file", f"{value_text(value)} is a URL; download the file, and {advice}")


def _reject_login(value: str, advice: str) -> None:
    if _LOGIN.match(value):
        detail = f"remove the user name and password before the @, and {advice}; replace them if they were committed or shared"
        raise value_error("Secret in the spec", detail)


def _check_scheme(value: str, scheme: str, schemes: tuple[str, ...], advice: str) -> None:
    written = value.partition(":")[0]
    if written in schemes:
        return
    close = scheme if scheme in schemes else closest(scheme, schemes)
    instead = f"write `{close}:`" if close else advice
    raise value_error("Unsupported URL scheme", f"{value_text(written + ':')} in {value_text(value)} is not supported; {instead}")
