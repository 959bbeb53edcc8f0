"""Field type of the entries of ``ssh_keys``: public key lines, and paths of files with public keys."""

import re

from pragmaspec.spec.fields.public_key import KEY_TYPES, NotAKeyError, holds_private_key, public_keys
from pragmaspec.spec.fields.scalars import ScalarField
from pragmaspec.spec.value_errors import value_error, value_text

_TYPES = "|".join(re.escape(kind) for kind in KEY_TYPES)
_KEY = re.compile(rf"(^|[ \t\n])({_TYPES})[ \t]+[A-Za-z0-9+/]")
_FILE = re.compile(r"[^\n]*(\.pub|\.keys|authorized_keys2?)\Z")
KEY_PATTERN = rf"(^|[ \t\n])({_TYPES})[ \t]+[A-Za-z0-9+/]{{20,}}"
PATH_PATTERN = r"^[^\n]*(\.pub|\.keys|authorized_keys2?)$"


def ssh_key() -> ScalarField:
    """Return a field type for public key lines, and paths of files with public keys."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise value_error("Not an ssh key", f"{value_text(value)} is not an ssh key; {_ADVICE}")
        if holds_private_key(value):
            raise value_error(
                "Private key", "this is a private key, which is a secret; remove it from the spec, and write the public key"
            )
        if re.match(r"[a-z+]+://", value):
            raise value_error(
                "Not an ssh key", "keys are not downloaded; save them to a file whose name ends in .keys, and write its path"
            )
        if is_key_file(value):
            return str(value)
        if value.startswith(("~", "/", "./", "../")) and not value.endswith("/"):
            raise value_error("Not an ssh key", f"the path of a public key ends in .pub; write {value}.pub")
        found = [key for _, key in public_keys(value)]
        errors = [key for key in found if isinstance(key, NotAKeyError)]
        if errors or not found:
            reason = f": {errors[0]}" if errors and str(errors[0]) else f"; {_ADVICE}"
            raise value_error("Not an ssh key", f"this is not a valid ssh public key{reason}")
        return str(value)

    return ScalarField(read, {"anyOf": [{"type": "string", "pattern": KEY_PATTERN}, {"type": "string", "pattern": PATH_PATTERN}]})


def is_key_file(value: str) -> bool:
    """True if an entry of ``ssh_keys`` is the path of a file."""
    return _FILE.match(value) is not None and not _KEY.search(value)


_ADVICE = "write a line such as `ssh-ed25519 AAAA… you@host`, or the path of a .pub file"
