"""Public keys as OpenSSH reads them in ``authorized_keys`` and ``.pub`` files (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

A line is ``[options] type base64 [comment]``. Wire formats of the data: RFC 4253, section 6.6 (RSA), RFC 5656, section 3.1
(ECDSA), RFC 8709, section 4 (Ed25519), ``PROTOCOL.u2f`` and ``PROTOCOL.certkeys`` of OpenSSH.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.spec.findings import closest_match
from pragmaspec.spec.yaml.text import without_unsafe_characters

PLAIN_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    *(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521)),
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_CERTIFICATE = "-cert-v01@openssh.com"
KEY_TYPES = (*PLAIN_TYPES, *(f"{kind.removesuffix('@openssh.com')}{_CERTIFICATE}" for kind in PLAIN_TYPES))
RSA_BITS_MIN = 1024
_OPTIONS = (
    *("agent-forwarding", "cert-authority", "command", "environment", "expiry-time", "from", "no-agent-forwarding"),
    *("no-port-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding", "permitlisten", "permitopen", "port-forwarding"),
    *("principals", "pty", "no-touch-required", "verify-required", "restrict", "tunnel", "user-rc", "x11-forwarding"),
)
_VALUED = frozenset({"command", "environment", "expiry-time", "from", "permitlisten", "permitopen", "principals", "tunnel"})
_QUOTED = r'"(?:\\"|[^"\\]|\\(?!"))*"'
_WORD = re.compile(rf'(?:\\"|{_QUOTED}|[^ \t"\\]|\\(?!"))+')
_OPTION = re.compile(rf"(?P<name>[A-Za-z0-9-]+)(?P<value>={_QUOTED})?(?:,|\Z)")
_POINT_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_POINT_MARK = 4
_ED25519_BYTES = 32
_LINE_END = re.compile("\r?\n")
_PRIVATE = re.compile(
    "-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----|---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----"
    "|PuTTY-User-Key-File-|SSH PRIVATE KEY FILE|b3BlbnNzaC1rZXktdjE"
)
_FORMATS = (
    ("---- BEGIN SSH2 PUBLIC KEY ----", "in the format of RFC 4716", ""),
    ("-----BEGIN RSA PUBLIC KEY-----", "in the PEM format", " -m PEM"),
    ("-----BEGIN PUBLIC KEY-----", "in the PKCS8 format", " -m PKCS8"),
)


class PublicKey(Frozen, frozen=True):
    """A public key; ``data`` is its base64."""

    kind: str
    data: str
    options: str = ""
    comment: str = ""

    @property
    def line(self) -> str:
        """The line of ``authorized_keys``."""
        return " ".join(part for part in (self.options, self.kind, self.data, self.comment) if part)

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal for lines that let the same key in under the same conditions."""
        return self.options, self.kind, self.data

    @property
    def certificate(self) -> bool:
        """True for a certificate, which sshd does not look for in ``authorized_keys``."""
        return self.kind.endswith(_CERTIFICATE)


class NotAKeyError(ValueError):
    """A text that OpenSSH does not take for a public key. The message is a clause that never repeats the text."""


def holds_private_key(text: str) -> bool:
    """True if ``text`` contains a private key, of OpenSSH, PEM, PuTTY or SSH2."""
    return _PRIVATE.search(text) is not None


def public_key(line: str) -> PublicKey:
    """The key in one line of an ``authorized_keys`` file. Raises NotAKeyError."""
    kind, data, comment = _words(line)
    options = ""
    if kind not in KEY_TYPES and kind != "ssh-dss":
        begin = _WORD.match(line.strip(" \t"))
        rest = line.strip(" \t")[begin.end() :] if begin else ""
        inner, data, comment = _words(rest)
        if begin is None or (inner not in KEY_TYPES and inner != "ssh-dss"):
            raise NotAKeyError(_no_type(kind))
        options, kind = begin[0], inner
        _check_options(options)
    if kind == "ssh-dss":
        raise NotAKeyError("it is a DSA key, which OpenSSH no longer accepts; make another with `ssh-keygen -t ed25519`")
    _check_data(kind, data)
    return PublicKey(
        kind=kind, data=data, options=options, comment=without_unsafe_characters(re.sub("[\t\r\n]", " ", comment)).strip()
    )


def public_keys(text: str) -> Iterator[tuple[int, PublicKey | NotAKeyError]]:
    """The keys in ``text``, or the reason why a line is none, with the number of the line; blank lines and comments are left out.

    A key in a format that OpenSSH converts is one reason, at the line where it begins.
    """
    for position, line in enumerate(_LINE_END.split(text), start=1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        for begin, words, option in _FORMATS:
            if stripped == begin:
                advice = f"convert it with `ssh-keygen -i{option} -f FILE > FILE.pub`"
                yield position, NotAKeyError(f"it is a public key {words}; {advice}")
                return
        try:
            yield position, public_key(stripped)
        except NotAKeyError as error:
            yield position, error


def _words(line: str) -> tuple[str, str, str]:
    first, second, third, *_ = *re.split(r"[ \t]+", line.strip(" \t"), maxsplit=2), "", ""
    return first, second, third


def _no_type(word: str) -> str:
    if re.fullmatch(r"(ssh|sk|ecdsa)-[a-z0-9@.-]{1,50}", word):
        near = closest_match(word, KEY_TYPES)
        return f"`{word}` is no type of key that OpenSSH has" + (f"; did you mean `{near}`?" if near else "")
    return ""


def _check_options(options: str) -> None:
    position = 0
    while position < len(options):
        found = _OPTION.match(options, position)
        name = found["name"].lower() if found else ""
        if found is None or name not in _OPTIONS or (name in _VALUED) != (found["value"] is not None):
            near = closest_match(name, _OPTIONS) if name and name not in _OPTIONS else None
            advice = f"; did you mean `{near}`?" if near else ""
            raise NotAKeyError(f"its options are not those of sshd(8){advice}")
        position = found.end()


def _check_data(kind: str, data: str) -> None:
    try:
        blob = b64decode(data, validate=True)
        inner, rest = _string(blob)
    except (binascii.Error, ValueError):
        raise NotAKeyError(_CUT) from None
    found = inner.decode("ascii", "replace")
    if found != kind:
        if found in KEY_TYPES:
            raise NotAKeyError(f"its first word is `{kind}`, and its data is a key of the type `{found}`")
        raise NotAKeyError(_CUT)
    try:
        bits = _rest_is_right(kind, rest)
    except ValueError:
        raise NotAKeyError(_CUT) from None
    if bits < RSA_BITS_MIN:
        raise NotAKeyError(f"it is an RSA key of {bits} bits, and OpenSSH accepts {RSA_BITS_MIN} or more")


def _rest_is_right(kind: str, rest: bytes) -> int:
    """Check the fields after the type, up to the end of a plain key. Returns the bits of an RSA key. Raises ValueError."""
    certificate = kind.endswith(_CERTIFICATE)
    if certificate:
        _, rest = _string(rest)
    bits = RSA_BITS_MIN
    if "ed25519" in kind:
        point, rest = _string(rest)
        if len(point) != _ED25519_BYTES:
            raise ValueError
    elif "ecdsa" in kind:
        curve, rest = _string(rest)
        point, rest = _string(rest)
        name = curve.decode("ascii", "replace")
        if name not in kind or len(point) != _POINT_BYTES.get(name) or point[0] != _POINT_MARK:
            raise ValueError
    else:
        _, rest = _string(rest)
        modulus, rest = _string(rest)
        bits = int.from_bytes(modulus).bit_length()
    if kind.startswith("sk-"):
        _, rest = _string(rest)
    if rest and not certificate:
        raise ValueError
    return bits


def _string(data: bytes) -> tuple[bytes, bytes]:
    """The length-prefixed string at the beginning of ``data``, and what follows (RFC 4251, section 5). Raises ValueError."""
    end = 4 + int.from_bytes(data[:4])
    if len(data) < max(end, 4):
        raise ValueError
    return data[4:end], data[end:]


_CUT = "its base64 text is damaged or cut off; copy the whole line"
