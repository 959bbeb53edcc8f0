"""URLs: the one place where a text becomes one, or is refused with the reason.

Source: RFC 3986 (syntax, appendix B), RFC 1123 section 2.1 and RFC 5890 (host names), RFC 6874 (zones of IPv6 addresses).
"""

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin

WEB_SCHEMES = ("http", "https")
REMOTE_SCHEMES = (*WEB_SCHEMES, "s3")
"""Schemes by which files are fetched."""
MAX_REDIRECTS = 50
"""As many as curl follows."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(?:([^:/?#]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_NAMED_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._-]+")
_QUARTET = re.compile(r"\d+(?:\.\d+){3}")
_PORT_MAX = 65535
_LABEL_MAX = 63
_NAME_MAX = 253
ASCII = "".join(map(chr, range(0x80)))
"""As the letters that ``quote`` leaves alone, so that it escapes those beyond ASCII only."""
_LOGIN = re.compile(r"(:/+)[^/?#]*@|^[^:/?#]*:[^/?#]*@")
_CUT_LOGIN = re.compile(r"(://)[^/?#@:\[]*:(?!\d*[/?#]).*@", re.DOTALL)
"""A password that holds a character which ends the host: only what follows the last ``@`` is surely none of it."""


class UrlError(ValueError):
    """The reason why a text is no URL: a clause without a full stop and without anything secret."""


class Url(NamedTuple):
    """A URL in its parts. ``host`` is in lower case and ASCII, an IPv6 address without brackets; ``port`` None: the usual one.

    ``user`` and ``password`` are None where there is none; ``path``, ``query`` and ``fragment`` are as written.
    """

    scheme: str
    host: str
    port: int | None = None
    path: str = ""
    query: str = ""
    fragment: str = ""
    user: str | None = None
    password: str | None = None

    @property
    def authority(self) -> str:
        """Host and port, without credentials."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def server(self) -> tuple[str, str, int | None]:
        """Scheme, host and port: what a credential belongs to."""
        return self.scheme, self.host, self.port or _DEFAULT_PORTS.get(self.scheme)

    @property
    def shown(self) -> str:
        """The URL without user, password, query and fragment."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def text(self) -> str:
        """The URL as a server is asked for it: printable ASCII, without its fragment."""
        login = "" if self.user is None else self.user + ("" if self.password is None else f":{self.password}") + "@"
        query = f"?{_ascii(self.query)}" if self.query else ""
        return f"{self.scheme}://{_ascii(login)}{self.authority}{_ascii(self.path)}{query}"

    @property
    def is_local(self) -> bool:
        """True if the server is this machine."""
        return is_loopback(self.host)


def scheme_of(text: str) -> str:
    """The scheme that ``text`` begins with, in lower case; empty for a path. A single letter is none."""
    found = _NAMED_SCHEME.match(text)
    return found[1].lower() if found else ""


def is_url(text: str, schemes: Collection[str] = WEB_SCHEMES) -> bool:
    """True if ``text`` begins with one of ``schemes``; the URL may still be invalid."""
    return scheme_of(text) in schemes


def is_remote(text: str) -> bool:
    """True if ``text`` begins with a scheme that files can be fetched by, and so is no path."""
    return scheme_of(text) in REMOTE_SCHEMES


def check_remote_url(text: str) -> None:
    """Raise UrlError when ``text`` is meant to be a URL by which files are fetched, and cannot be one. Paths pass."""
    if "://" in text or is_remote(text):
        parse_url(text, REMOTE_SCHEMES, blanks=is_url(text, ("s3",)))


def parse_url(text: str, schemes: Collection[str] = WEB_SCHEMES, *, host_needed: bool = True, blanks: bool = False) -> Url:
    """The URL that ``text`` is. Raises UrlError unless it is sound and its scheme, in any case, is one of ``schemes``.

    ``host_needed``: the host must be named; ``blanks``: the path may hold blanks, for it is never sent as it is.
    """
    strange = next((letter for letter in text if (letter.isspace() or not letter.isprintable()) and letter != " "), "")
    if " " in text and not blanks:
        raise UrlError("there is a blank in it; write %20 for one")
    if strange:
        raise UrlError(f"there is a character in it that cannot be seen ({_named(strange)})")
    if "\\" in text:
        raise UrlError("there is a backslash in it; write / between the parts of a URL, and %5C for a real one")
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise UrlError(f"it does not begin with {_choice(schemes)}")
    if scheme.lower() not in schemes:
        raise UrlError(f"{scheme}: is not known here{_meant(scheme, schemes)}")
    if not rest.startswith("//"):
        raise UrlError(f"two slashes are missing after {scheme}:")
    if _BAD_ESCAPE.search(text):
        raise UrlError("a % in it is not followed by two hexadecimal digits; write %25 for a % itself")
    return _made(text, host_needed=host_needed)


def resolve_reference(base: Url, reference: str) -> Url:
    """Where ``reference`` leads from ``base``, as browsers and curl read it: blanks and bytes beyond ASCII become escapes.

    ``reference`` has one character for each byte, as a header of HTTP is read. Raises UrlError.
    """
    reference = reference.strip(" \t")
    if any(ord(letter) < ord(" ") or ord(letter) == 0x7F for letter in reference):  # noqa: PLR2004 - delete
        raise UrlError("there is a control character in it")
    scheme, authority, path, query, _ = _split(reference)
    if scheme is not None and _SCHEME.fullmatch(scheme) and scheme.lower() not in WEB_SCHEMES:
        raise UrlError(f"{scheme}: is not of the web")
    if authority is not None:
        found = _authority(_decoded(authority))
        scheme = (scheme or base.scheme).lower()
        return found._replace(scheme=scheme, path=_lenient(path) or "/", query=_lenient(query or "", blank="+"))
    if scheme is not None and _SCHEME.fullmatch(scheme):
        raise UrlError(f"two slashes are missing after {scheme}:")
    # A colon in the first part of a path would look like a scheme to urljoin.
    relative = _lenient(path) + ("" if query is None else f"?{_lenient(query, blank='+')}")
    _, _, path, query, _ = _split(urljoin(base.text, relative if scheme is None else f"./{_lenient(scheme)}:{relative}"))
    return base._replace(path=path or "/", query=query or "", fragment="")


def redact_url(text: str) -> str:
    """``text`` without what may be secret in it: user, password, query and fragment. Takes any text, sound or not."""
    return _LOGIN.sub(r"\1", _CUT_LOGIN.sub(r"\1", text).partition("?")[0].partition("#")[0], count=1)


def same_server(one: str, other: str) -> bool:
    """True if both are valid URLs of http or https with the same scheme, host and port."""
    try:
        return parse_url(one).server == parse_url(other).server
    except UrlError:
        return False


def is_downgrade(before: Url, after: Url) -> bool:
    """True if the redirect drops TLS, or leads to a scheme other than http and https."""
    return after.scheme not in WEB_SCHEMES or (before.scheme, after.scheme) == ("https", "http")


def is_loopback(host: str) -> bool:
    """True if ``host`` is ``localhost`` or a loopback address."""
    from ipaddress import ip_address  # noqa: PLC0415 - most runs need none

    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _split(text: str) -> tuple[str | None, str | None, str, str | None, str | None]:
    """Scheme, authority, path, query and fragment of ``text`` (RFC 3986, appendix B); None where absent. Raises UrlError."""
    if not (found := _PARTS.fullmatch(text)):
        raise UrlError("it has no parts of a URL")
    return found[1], found[2], found[3], found[4], found[5]


def _made(text: str, *, host_needed: bool) -> Url:
    scheme, authority, path, query, fragment = _split(text)
    found = _authority(authority or "", host_needed=host_needed)
    return found._replace(scheme=(scheme or "").lower(), path=path, query=query or "", fragment=fragment or "")


def _authority(text: str, *, host_needed: bool = True) -> Url:
    """Credentials, host and port of what stands between ``//`` and the path."""
    login, at, place = text.rpartition("@")
    if "@" in login:
        raise UrlError("there are two @ before its path; an @ in a user or password is written %40")
    user, colon, password = login.partition(":")
    host, port = _host_and_port(place)
    if not host and (host_needed or port is not None):
        raise UrlError("it names no host")
    return Url("", host, port, user=user if at else None, password=password if colon else None)


def _host_and_port(place: str) -> tuple[str, int | None]:
    if place.startswith("["):
        inside, bracket, rest = place[1:].partition("]")
        if not bracket or "[" in rest or "]" in rest or (rest and rest[0] != ":"):
            raise UrlError("the brackets around its IPv6 address do not match")
        return _ipv6(inside), _port(rest[1:])
    if "[" in place or "]" in place:
        raise UrlError("the brackets around its IPv6 address do not match")
    host, colon, port = place.partition(":")
    if ":" in port:
        raise UrlError(
            "there are two colons after its host; an IPv6 address stands in brackets, as in http://[2001:db8::1]:8080/"
        )
    return _name(host), _port(port) if colon else None


def _port(text: str) -> int | None:
    """A port; none for an empty text, as RFC 3986 (section 3.2.3) has it."""
    if not text:
        return None
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit()):
        raise UrlError("its port is not a number")
    if not digits or len(digits) > len(str(_PORT_MAX)) or int(digits) > _PORT_MAX:
        raise UrlError(f"its port is not from 1 to {_PORT_MAX}")
    return int(digits)


def _ipv6(text: str) -> str:
    from ipaddress import IPv6Address  # noqa: PLC0415 - most URLs have none

    address, percent, zone = text.partition("%25")
    try:
        return str(IPv6Address(f"{address}%{unquote(zone)}" if percent else address))
    except ValueError:
        raise UrlError("what stands in brackets is not an IPv6 address") from None


def _name(host: str) -> str:
    """A host name or an IPv4 address, in lower case and ASCII."""
    name = host.lower() if host.isascii() else _encoded(host)
    if not name:
        return ""
    if not _HOST.fullmatch(name):
        raise UrlError("its host has a character that no host name has")
    labels = name.removesuffix(".").split(".")
    if not all(labels):
        raise UrlError("its host has an empty part between two dots")
    if max(map(len, labels)) > _LABEL_MAX or len(name.removesuffix(".")) > _NAME_MAX:
        raise UrlError(f"its host is too long: a name has {_NAME_MAX} characters at most, and {_LABEL_MAX} between two dots")
    if _QUARTET.fullmatch(name) and any(len(label) > 3 or int(label) > 255 for label in labels):  # noqa: PLR2004 - octets
        raise UrlError("its host is not an IPv4 address: each of the four numbers is from 0 to 255")
    return name


def _encoded(host: str) -> str:
    """A name in any script as DNS has it (``bücher.example`` is ``xn--bcher-kva.example``)."""
    import idna  # noqa: PLC0415 - 12 ms, and few names need it

    try:
        return idna.encode(host, uts46=True).decode().lower()
    except idna.IDNAError:
        raise UrlError("its host is not a name that DNS can hold (IDNA)") from None


def _decoded(authority: str) -> str:
    """Bytes as the text in UTF-8 that they are."""
    try:
        return authority.encode("latin-1").decode()
    except UnicodeError:
        raise UrlError("its host is not text in UTF-8") from None


def _lenient(text: str, blank: str = "%20") -> str:
    """A path or query as a server wrote it, as it can be asked for; ``text`` has one character for each byte."""
    escaped = _BAD_ESCAPE.sub("%25", text.replace(" ", blank))
    return quote(escaped.encode("latin-1", "replace"), safe=ASCII).replace("\\", "%5C")


def _ascii(text: str) -> str:
    return text if text.isascii() else quote(text, safe=ASCII)


def _named(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def _choice(schemes: Collection[str]) -> str:
    return " or ".join(f"{scheme}://" for scheme in sorted(schemes, reverse=True))


def _meant(scheme: str, schemes: Collection[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for a mistake only

    near = get_close_matches(scheme.lower()[:40], schemes, n=1, cutoff=0.6)
    return f"; write {near[0]}:// instead" if near else f"; write {_choice(schemes)}"
