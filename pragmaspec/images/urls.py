"""URLs: as they may be shown, and whether one may lead to another."""

from urllib.parse import urlsplit, urlunsplit


def public_url(url: str) -> str:
    """``url`` without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def less_safe(url: str, target: str) -> bool:
    """Whether a redirect from ``url`` to ``target`` gives up the protection of TLS, or leaves the web."""
    before, after = urlsplit(url).scheme.lower(), urlsplit(target).scheme.lower()
    return after not in {"http", "https"} or (before, after) == ("https", "http")


def same_server(url: str, target: str) -> bool:
    """Whether both are at one scheme, host and port."""
    before, after = urlsplit(url), urlsplit(target)
    return (before.scheme, before.hostname, before.port) == (after.scheme, after.hostname, after.port)


def is_web(address: str) -> bool:
    """Whether ``address`` is an http or https URL."""
    return address.startswith(("http://", "https://"))
