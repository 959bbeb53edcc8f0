"""URLs of the spec: each is read as one when the spec is, so that none turns out to be wrong later."""

import re

from pragmaspec.net.s3_urls import IMAGE_OPTIONS, parse_s3_url
from pragmaspec.net.urls import WEB_SCHEMES, UrlError, parse_url, scheme_of
from pragmaspec.spec.fields.scalars import ScalarField, text
from pragmaspec.spec.findings import closest_match
from pragmaspec.spec.value_errors import value_error, value_text

WEB_URL_PATTERN = r"https?://[^\s@/?#\\]+([/?#][^\s\\]*)?"
_BUCKET_FORM = r"s3://[a-z0-9][a-z0-9._-]+[a-z0-9]"
PATH_PATTERN = r"[^\s:@]([^\n:]*[^\s:])?"
"""The three forms as far as JSON Schema can express them; :mod:`pragmaspec.net.urls` is stricter."""
_IN_NETRC = "write it into ~/.netrc instead"
_SECRET_PLACES = {"s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead (or ~/.aws/credentials)"}
_OLD_LOGIN = re.compile(r"[a-z0-9+.-]+:/*[^/?#\s]*@", re.IGNORECASE)


def url_field(
    advice: str,
    *,
    schemes: tuple[str, ...] = WEB_SCHEMES,
    path: bool = False,
    folder: bool = False,
    words: tuple[str, ...] = (),
    secrets: str = _IN_NETRC,
) -> ScalarField:
    """A sound URL of one of ``schemes`` without credentials; with ``path`` also a path, and any of ``words``.

    ``folder``: of a folder, which may be a whole bucket; ``advice`` says what to write, ``secrets`` where credentials belong.
    """
    bucket = rf"{_BUCKET_FORM}(/[^\s\\]*)?" if folder else rf"{_BUCKET_FORM}/[^\s\\]+"
    forms = [*words, WEB_URL_PATTERN, *([bucket] if "s3" in schemes else []), *([PATH_PATTERN] if path else [])]
    plain = text(f"^({'|'.join(forms)})$", advice)

    def read(value: object) -> object:
        if not isinstance(value, str) or value in words:
            return plain.read(value)
        scheme = scheme_of(value)
        if not scheme:
            return plain.read(value)
        where = _SECRET_PLACES.get(scheme, secrets)
        _refuse_login(value, where)
        _refuse_scheme(value, scheme, schemes, advice)
        try:
            parse_url(value, schemes)
            key = parse_s3_url(value, IMAGE_OPTIONS).key if scheme == "s3" else "of another kind"
        except UrlError as error:
            raise value_error("Not a sound URL", f"{value_text(value)} cannot be used: {error}") from None
        if not key and not folder:
            raise value_error(
                "Not a sound URL", f"{value_text(value)} does not say which file of the bucket is meant; write s3://BUCKET/KEY"
            )
        return str(value)

    return ScalarField(read, plain.schema)


def path_field(advice: str) -> ScalarField:
    """A path, and not a URL: the file has to be here."""
    plain = text(r"^[^\n\x00]+$", advice)

    def read(value: object) -> object:
        reject_url(value, advice)
        return plain.read(value)

    return ScalarField(read, plain.schema)


def reject_url(value: object, advice: str) -> None:
    """Raise an error of the spec for a URL where the path of a file is wanted."""
    if isinstance(value, str) and "://" in value:
        raise value_error("A file of this machine", f"{value_text(value)} is a URL; download the file, and {advice}")


def _refuse_login(value: str, where: str) -> None:
    if _OLD_LOGIN.match(value):
        detail = f"remove what stands before the @ from the URL, and {where}; if it was committed or shown, replace it"
        raise value_error("A secret in the spec", detail)


def _refuse_scheme(value: str, scheme: str, schemes: tuple[str, ...], advice: str) -> None:
    written = value.partition(":")[0]
    if written in schemes:
        return
    close = scheme if scheme in schemes else closest_match(scheme, schemes)
    instead = f"write `{close}:` instead" if close else advice
    raise value_error("Unknown kind of URL", f"nothing is known of {value_text(written + ':')} in {value_text(value)}; {instead}")
