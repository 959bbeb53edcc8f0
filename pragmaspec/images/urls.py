"""URLs as they may be shown."""

from urllib.parse import urlsplit, urlunsplit


def public_url(url: str) -> str:
    """``url`` without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
