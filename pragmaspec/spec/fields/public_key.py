"""OpenSSH public keys in ``authorized_keys`` and ``.pub`` files (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").

A line is ``[options] type base64 [comment]``. Wire formats of the data: RFC 4253, section 6.6 (RSA), RFC 5656, section 3.1
(ECDSA), RFC 8709, section 4 (Ed25519), and OpenSSH's ``PROTOCOL.u2f`` and ``PROTOCOL.certkeys``.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator

from pragmaspec.frozen import Frozen
from pragmaspec.spec.yaml.text import without_unsafe_characters
from pragmaspec.text import closest

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
    """A public key; ``data`` is base64."""

    kind: str
    data: str
    options: str = ""
    comment: str = ""

    @property
    def line(self) -> str:
        """The key as a line of ``authorized_keys``."""
        return " ".join(part for part in (self.options, self.kind, self.data, self.comment) if part)

    @property
    def identity(self) -> tuple[str, str, str]:
        """Equal for lines that authorize the same key with the same options."""
        return self.options, self.kind, self.data

    @property
    def certificate(self) -> bool:
        """True for a certificate, which sshd ignores in ``authorized_keys``."""
        return self.kind.endswith(_CERTIFICATE)


class NotAKeyError(ValueError):
    """The text is not a valid OpenSSH public key. The message is a clause that does not contain the text."""


def holds_private_key(text: str) -> bool:
    """True if ``text`` contains a private key in the format of OpenSSH, PEM, PuTTY or SSH2."""
    return _PRIVATE.search(text) is not None


def public_key(line: str) -> PublicKey:
    """Return the key in a line of an ``authorized_keys`` file. Raises NotAKeyError."""
    kind, data, comment = _words(line)
    options = ""
    if kind not in KEY_TYPES and kind != "ssh-dss":
        prefix = _WORD.match(line.strip(" \t"))
        rest = line.strip(" \t")[prefix.end() :] if prefix else ""
        inner, data, comment = _words(rest)
        if prefix is None or (inner not in KEY_TYPES and inner != "ssh-dss"):
            raise NotAKeyError(_unknown_type(kind))
        options, kind = prefix[0], inner
        _check_options(options)
    if kind == "ssh-dss":
        raise NotAKeyError("it is a DSA key, which OpenSSH no longer supports; create another with `ssh-keygen -t ed25519`")
    _check_data(kind, data)
    return PublicKey(
        kind=kind, data=data, options=options, comment=without_unsafe_characters(re.sub("[\t\r\n]", " ", comment)).strip()
    )


def public_keys(text: str) -> Iterator[tuple[int, PublicKey | NotAKeyError]]:
    """Yield line number and key, or the error, of each line of ``text`` that is neither blank nor a comment.

    A key in a format that OpenSSH can convert is a single error, at its first line.
    """
    for position, line in enumerate(_LINE_END.split(text), start=1):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        for header, description, option in _FORMATS:
            if stripped == header:
                advice = f"convert it with `ssh-keygen -i{option} -f FILE > FILE.pub`"
                yield position, NotAKeyError(f"it is a public key {description}; {advice}")
                return
        try:
            yield position, public_key(stripped)
        except NotAKeyError as error:
            yield position, error


def _words(line: str) -> tuple[str, str, str]:
    first, second, third, *_ = *re.split(r"[ \t]+", line.strip(" \t"), maxsplit=2), "", ""
    return first, second, third


def _unknown_type(word: str) -> str:
    if re.fullmatch(r"(ssh|sk|ecdsa)-[a-z0-9@.-]{1,50}", word):
        near = closest(word, KEY_TYPES)
        return f"`{word}` is not a key type of OpenSSH" + (f"; did you mean `{near}`?" if near else "")
    return ""


def _check_options(options: str) -> None:
    position = 0
    while position < len(options):
        found = _OPTION.match(options, position)
        name = found["name"].lower() if found else ""
        if found is None or name not in _OPTIONS or (name in _VALUED) != (found["value"] is not None):
            near = closest(name, _OPTIONS) if name and name not in _OPTIONS else None
            advice = f"; did you mean `{near}`?" if near else ""
            raise NotAKeyError(f"its options are invalid (see sshd(8)){advice}")
        position = found.end()


def _check_data(kind: str, data: str) -> None:
    try:
        blob = b64decode(data, validate=True)
        inner, rest = _string(blob)
    except (binascii.Error, ValueError):
        raise NotAKeyError(_DAMAGED) from None
    found = inner.decode("ascii", "replace")
    if found != kind:
        if found in KEY_TYPES:
            raise NotAKeyError(f"its first word is `{kind}`, but its data is a key of type `{found}`")
        raise NotAKeyError(_DAMAGED)
    try:
        bits = _check_fields(kind, rest)
    except ValueError:
        raise NotAKeyError(_DAMAGED) from None
    if bits < RSA_BITS_MIN:
        raise NotAKeyError(f"it is an RSA key of {bits} bits, but OpenSSH requires at least {RSA_BITS_MIN}")


def _check_fields(kind: str, rest: bytes) -> int:
    """Check the fields after the type, and return the size in bits of an RSA key. Raises ValueError."""
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
    """Return the length-prefixed string (RFC 4251, section 5) at the start of ``data``, and the rest. Raises ValueError."""
    end = 4 + int.from_bytes(data[:4])
    if len(data) < max(end, 4):
        raise ValueError
    return data[4:end], data[end:]


_DAMAGED = "its base64 data is damaged or truncated; copy the whole line"
