"""URLs: parsing with a reason for each rejection, reference resolution, and redaction of secrets.

Source: RFC 3986 (syntax, appendix B), RFC 1123 section 2.1 and RFC 5890 (host names), RFC 6874 (zones of IPv6 addresses).
"""

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin

from pragmaspec.text import closest

WEB_SCHEMES = ("http", "https")
REMOTE_SCHEMES = (*WEB_SCHEMES, "s3")
"""Schemes of files that can be downloaded."""
MAX_REDIRECTS = 50
"""The limit of curl."""
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
"""Safe characters for ``quote``, so that it escapes only those beyond ASCII."""
_LOGIN = re.compile(r"(:/+)[^/?#]*@|^[^:/?#]*:[^/?#]*@")
_CUT_LOGIN = re.compile(r"(://)[^/?#@:\[]*:(?!\d*[/?#]).*@", re.DOTALL)
"""A password with a character that would end the host; only the text after the last ``@`` is certainly not part of it."""
_PATH_LIKE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+:)/")
_LOGIN_IN_TEXT = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]+:/{1,2})[^\s/?#@:]*:[^\s/?#@]*@")


class UrlError(ValueError):
    """An invalid URL; the message is a clause about it, without a full stop and without secrets."""


class Url(NamedTuple):
    """A parsed URL. ``host`` is lower-case ASCII, IPv6 addresses without brackets; ``port`` is None for the scheme's default.

    ``user`` and ``password`` are None if absent; ``path``, ``query`` and ``fragment`` are as written.
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
        """Scheme, host and port: the scope of a credential."""
        return self.scheme, self.host, self.port or _DEFAULT_PORTS.get(self.scheme)

    @property
    def shown(self) -> str:
        """The URL without user, password, query and fragment, for display."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def text(self) -> str:
        """The URL as sent to the server: printable ASCII, without fragment."""
        login = "" if self.user is None else self.user + ("" if self.password is None else f":{self.password}") + "@"
        query = f"?{_ascii(self.query)}" if self.query else ""
        return f"{self.scheme}://{_ascii(login)}{self.authority}{_ascii(self.path)}{query}"

    @property
    def is_local(self) -> bool:
        """True if the server is this machine."""
        return is_loopback(self.host)


def scheme_of(text: str) -> str:
    """Return the scheme of ``text`` in lower case; empty for a path. A single letter is not a scheme."""
    found = _NAMED_SCHEME.match(text)
    return found[1].lower() if found else ""


def is_url(text: str, schemes: Collection[str] = WEB_SCHEMES) -> bool:
    """True if ``text`` starts with one of ``schemes``; the URL may still be invalid."""
    return scheme_of(text) in schemes


def is_remote(text: str) -> bool:
    """True if ``text`` starts with a scheme of downloadable files, and so is not a path."""
    return scheme_of(text) in REMOTE_SCHEMES


def check_remote_url(text: str) -> None:
    """Raise UrlError if ``text`` looks like the URL of a downloadable file and is invalid. Paths pass."""
    if "://" in text or is_remote(text):
        parse_url(text, REMOTE_SCHEMES, blanks=is_url(text, ("s3",)))


def parse_url(text: str, schemes: Collection[str] = WEB_SCHEMES, *, host_needed: bool = True, blanks: bool = False) -> Url:
    """Parse ``text``. Raises UrlError if it is invalid or its scheme, case-insensitively, is not one of ``schemes``.

    ``host_needed`` requires a host; ``blanks`` allows spaces in the path, for URLs that are never sent as they are.
    """
    invisible = next((letter for letter in text if (letter.isspace() or not letter.isprintable()) and letter != " "), "")
    if " " in text and not blanks:
        raise UrlError("it contains a space; write %20 instead")
    if invisible:
        raise UrlError(f"it contains an invisible character (U+{ord(invisible):04X})")
    if "\\" in text:
        raise UrlError("it contains a backslash; write / between the parts of a URL, and %5C for a literal backslash")
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise UrlError(f"it does not start with {_choice(schemes)}")
    if scheme.lower() not in schemes:
        raise UrlError(f"the scheme {scheme}: is not supported; write {_closest_scheme(scheme, schemes)} instead")
    if not rest.startswith("//"):
        raise UrlError(f"// is missing after {scheme}:")
    if _BAD_ESCAPE.search(text):
        raise UrlError("it contains a % without two hexadecimal digits after it; write %25 for a literal %")
    return _parse_parts(text, host_needed=host_needed)


def resolve_reference(base: Url, reference: str) -> Url:
    """Resolve ``reference`` against ``base`` as browsers and curl do: spaces and bytes beyond ASCII become escapes.

    ``reference`` has one character per byte, as HTTP headers are decoded. Raises UrlError.
    """
    reference = reference.strip(" \t")
    if any(ord(letter) < ord(" ") or ord(letter) == 0x7F for letter in reference):  # noqa: PLR2004 - delete
        raise UrlError("it contains a control character")
    scheme, authority, path, query, _ = _split(reference)
    if scheme is not None and _SCHEME.fullmatch(scheme) and scheme.lower() not in WEB_SCHEMES:
        raise UrlError(f"the scheme {scheme}: is neither http: nor https:")
    if authority is not None:
        found = _authority(_decode_utf8(authority))
        scheme = (scheme or base.scheme).lower()
        return found._replace(scheme=scheme, path=_lenient(path) or "/", query=_lenient(query or "", blank="+"))
    if scheme is not None and _SCHEME.fullmatch(scheme):
        raise UrlError(f"// is missing after {scheme}:")
    # urljoin would take a colon in the first path segment for the end of a scheme.
    relative = _lenient(path) + ("" if query is None else f"?{_lenient(query, blank='+')}")
    _, _, path, query, _ = _split(urljoin(base.text, relative if scheme is None else f"./{_lenient(scheme)}:{relative}"))
    return base._replace(path=path or "/", query=query or "", fragment="")


def redact_url(text: str) -> str:
    """Return ``text``, a URL that may be invalid, without the parts that may be secret: user, password, query and fragment."""
    return _LOGIN.sub(r"\1", _CUT_LOGIN.sub(r"\1", text).partition("?")[0].partition("#")[0], count=1)


def same_server(one: str, other: str) -> bool:
    """True if both are valid http or https URLs with the same scheme, host and port."""
    try:
        return parse_url(one).server == parse_url(other).server
    except UrlError:
        return False


def is_downgrade(before: Url, after: Url) -> bool:
    """True if the redirect drops TLS or leaves http and https."""
    return after.scheme not in WEB_SCHEMES or (before.scheme, after.scheme) == ("https", "http")


def reject_url(path: str) -> None:
    """Raise UrlError if ``path`` is a URL. ``Path`` reduces the slashes of a URL to one; ``./`` before a name keeps it a path."""
    found = _PATH_LIKE.match(path)
    if found is None:
        return
    slashes = "///" if found[1].lower() == "file:" else "//"
    shown = redact_url(f"{found[1]}{slashes}{path[found.end() :].lstrip('/')}")
    raise UrlError(f"{shown} is a URL, but a local path is required")


def redact_passwords(text: str) -> str:
    """Return ``text`` without the user names and passwords of the URLs in it, also of URLs that ``Path`` has altered."""
    return _LOGIN_IN_TEXT.sub(r"\1", text)


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
    """Split ``text`` into scheme, authority, path, query and fragment (RFC 3986, appendix B), None if absent. Raises UrlError."""
    if not (found := _PARTS.fullmatch(text)):
        raise UrlError("it is not a URL")
    return found[1], found[2], found[3], found[4], found[5]


def _parse_parts(text: str, *, host_needed: bool) -> Url:
    scheme, authority, path, query, fragment = _split(text)
    found = _authority(authority or "", host_needed=host_needed)
    return found._replace(scheme=(scheme or "").lower(), path=path, query=query or "", fragment=fragment or "")


def _authority(text: str, *, host_needed: bool = True) -> Url:
    """Parse the credentials, host and port between ``//`` and the path."""
    login, at, server = text.rpartition("@")
    if "@" in login:
        raise UrlError("it contains two @ before its path; write %40 for an @ in a user name or password")
    user, colon, password = login.partition(":")
    host, port = _host_and_port(server)
    if not host and (host_needed or port is not None):
        raise UrlError("it has no host")
    return Url("", host, port, user=user if at else None, password=password if colon else None)


def _host_and_port(server: str) -> tuple[str, int | None]:
    if server.startswith("["):
        inside, bracket, rest = server[1:].partition("]")
        if not bracket or "[" in rest or "]" in rest or (rest and rest[0] != ":"):
            raise UrlError("the brackets around its IPv6 address are unbalanced")
        return _ipv6(inside), _port(rest[1:])
    if "[" in server or "]" in server:
        raise UrlError("the brackets around its IPv6 address are unbalanced")
    host, colon, port = server.partition(":")
    if ":" in port:
        raise UrlError("its host contains two colons; write an IPv6 address in brackets, as in http://[2001:db8::1]:8080/")
    return _name(host), _port(port) if colon else None


def _port(text: str) -> int | None:
    """Parse a port; None for an empty text (RFC 3986, section 3.2.3)."""
    if not text:
        return None
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit()):
        raise UrlError("its port is not a number")
    if not digits or len(digits) > len(str(_PORT_MAX)) or int(digits) > _PORT_MAX:
        raise UrlError(f"its port is not between 1 and {_PORT_MAX}")
    return int(digits)


def _ipv6(text: str) -> str:
    from ipaddress import IPv6Address  # noqa: PLC0415 - most URLs have none

    address, percent, zone = text.partition("%25")
    try:
        return str(IPv6Address(f"{address}%{unquote(zone)}" if percent else address))
    except ValueError:
        raise UrlError("the text in brackets is not an IPv6 address") from None


def _name(host: str) -> str:
    """Validate a host name or IPv4 address, and return it in lower-case ASCII."""
    name = host.lower() if host.isascii() else _encode_idna(host)
    if not name:
        return ""
    if not _HOST.fullmatch(name):
        raise UrlError("its host contains a character that host names cannot contain")
    labels = name.removesuffix(".").split(".")
    if not all(labels):
        raise UrlError("its host has an empty label between two dots")
    if max(map(len, labels)) > _LABEL_MAX or len(name.removesuffix(".")) > _NAME_MAX:
        raise UrlError(f"its host is too long: the limit is {_NAME_MAX} characters, and {_LABEL_MAX} per label")
    if _QUARTET.fullmatch(name) and any(len(label) > 3 or int(label) > 255 for label in labels):  # noqa: PLR2004 - octets
        raise UrlError("its host is not an IPv4 address: each of the four numbers must be between 0 and 255")
    return name


def _encode_idna(host: str) -> str:
    """Encode a name in any script for DNS: ``bücher.example`` becomes ``xn--bcher-kva.example``."""
    import idna  # noqa: PLC0415 - 12 ms, and few names need it

    try:
        return idna.encode(host, uts46=True).decode().lower()
    except idna.IDNAError:
        raise UrlError("its host is not a valid internationalized domain name (IDNA)") from None


def _decode_utf8(authority: str) -> str:
    """Decode one character per byte as UTF-8."""
    try:
        return authority.encode("latin-1").decode()
    except UnicodeError:
        raise UrlError("its host is not valid UTF-8") from None


def _lenient(text: str, blank: str = "%20") -> str:
    """Escape a path or query that a server sent, so that it can be requested; ``text`` has one character per byte."""
    escaped = _BAD_ESCAPE.sub("%25", text.replace(" ", blank))
    return quote(escaped.encode("latin-1", "replace"), safe=ASCII).replace("\\", "%5C")


def _ascii(text: str) -> str:
    return text if text.isascii() else quote(text, safe=ASCII)


def _choice(schemes: Collection[str]) -> str:
    return " or ".join(f"{scheme}://" for scheme in sorted(schemes, reverse=True))


def _closest_scheme(scheme: str, schemes: Collection[str]) -> str:
    near = closest(scheme[:40], schemes)
    return f"{near}://" if near else _choice(schemes)
