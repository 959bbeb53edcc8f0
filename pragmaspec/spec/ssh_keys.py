"""Public ssh keys: literal lines, and the files that hold them."""

import binascii
import re
from base64 import b64decode

from pragmaspec.spec.scalars import Scalar
from pragmaspec.spec.wrong import shown, wrong

_TYPES = r"ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
_KEY = re.compile(rf"(?P<type>{_TYPES}) (?P<data>[A-Za-z0-9+/]{{20,3000}}={{0,2}})( (?P<comment>[ -~]{{0,200}}))?\Z")
KEY_PATTERN = rf"^({_TYPES}) [A-Za-z0-9+/]+=*( .*)?$"
PATH_PATTERN = r"^[^\n]+\.pub$"
OWN_KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
"""Names in ~/.ssh that are used when the spec names no key."""


def ssh_key() -> Scalar:
    """A public key line, or the path of a file with some."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise wrong("Not an ssh key", f"{shown(value)} is not one; {_ADVICE}")
        if "PRIVATE KEY" in value:
            raise wrong("A private key", "this is a private key, and a secret: remove it from the spec, and write the public one")
        if is_path(value) or is_key(value):
            return str(value)
        if value.startswith(("~", "/", "./", "../")) and not value.endswith("/"):
            raise wrong("Not an ssh key", f"a path of a public key ends in .pub; write {value}.pub")
        raise wrong("Not an ssh key", f"this is no public key that ssh knows; {_ADVICE}")

    return Scalar(read, {"anyOf": [{"type": "string", "pattern": KEY_PATTERN}, {"type": "string", "pattern": PATH_PATTERN}]})


def is_path(value: str) -> bool:
    """Whether an entry of ``ssh_keys`` names a file."""
    return value.endswith(".pub") and "\n" not in value and not re.match(rf"({_TYPES}) ", value)


def is_key(line: str) -> bool:
    """Whether ``line`` is a public key whose data names the same type as its first word."""
    found = _KEY.match(line)
    if not found:
        return False
    try:
        data = b64decode(found["data"], validate=True)
    except binascii.Error:
        return False
    kind = found["type"].encode()
    return data[: 4 + len(kind)] == len(kind).to_bytes(4, "big") + kind


def keys_in(text: str) -> tuple[str, ...]:
    """The public keys in a ``.pub`` file; blank lines and comments are left out. Raises ValueError with the line's number."""
    found = []
    for position, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not is_key(stripped):
            raise ValueError(position)
        found.append(stripped)
    return tuple(found)


_ADVICE = "write a line such as `ssh-ed25519 AAAA… you@host`, or the path of a .pub file"
