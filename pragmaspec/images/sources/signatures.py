"""Signatures on published digests, checked by gpgv against one pinned key.

A key may come from anywhere, since its fingerprint is pinned: gpgv computes it anew from the key's own bytes.
Source of the status lines: ``doc/DETAILS`` of GnuPG.
"""

import shutil
import subprocess
from base64 import b64decode
from binascii import Error as Base64Error
from pathlib import Path
from tempfile import TemporaryDirectory

from pragmaspec.errors import ImageError

LIMIT_S = 60
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_BAD = {
    "BADSIG": "the signature does not fit: what was signed is something else",
    "ERRSIG": "it is signed by a key that is not the pinned one",
    "NO_PUBKEY": "it is signed by a key that is not the pinned one",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key has expired",
    "REVKEYSIG": "the key was revoked",
}


def verify_signature(signed: bytes, signature: bytes | None, key: bytes, fingerprint: str, what: str) -> bytes:
    """What was signed, when ``signature`` (None: the one around ``signed``) is that of the key with ``fingerprint``.

    ``key``: one or several public keys, in armor or not; ``what`` is for people. Raises ImageError.
    """
    gpgv = shutil.which("gpgv")
    if gpgv is None:
        raise _refused(what, "gpgv is not installed here; install the package gpgv")
    with TemporaryDirectory(prefix="pragmaspec-") as name:
        folder = Path(name)
        (folder / "key.gpg").write_bytes(_without_armor(key, what))
        (folder / "signed").write_bytes(signed)
        command = [gpgv, "--homedir", name, "--keyring", str(folder / "key.gpg"), "--status-fd", "1"]
        if signature is None:
            command += ["--output", str(folder / "text"), str(folder / "signed")]
        else:
            (folder / "signature").write_bytes(signature)
            command += [str(folder / "signature"), str(folder / "signed")]
        try:
            done = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, env={}, cwd=name, timeout=LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise _refused(what, f"gpgv did not end in {LIMIT_S} s") from None
        _judge(done.returncode, done.stdout.decode(errors="replace"), fingerprint.upper(), what)
        return signed if signature is not None else (folder / "text").read_bytes()


def _judge(status: int, told: str, fingerprint: str, what: str) -> None:
    """Raises ImageError unless there is exactly one valid signature, and it is of the pinned key."""
    lines = [line.split()[1:] for line in told.splitlines() if line.startswith("[GNUPG:] ") and len(line.split()) > 1]
    bad = next((_BAD[line[0]] for line in lines if line[0] in _BAD), None)
    if bad:
        raise _refused(what, bad)
    valid = [line for line in lines if line[0] == "VALIDSIG"]
    good = [line for line in lines if line[0] == "GOODSIG"]
    if status != 0 or len(valid) != 1 or len(good) != 1:
        raise _refused(what, "there is no valid signature")
    # VALIDSIG <fingerprint of the signing key, maybe a subkey> ... <fingerprint of its primary key>
    if fingerprint not in {valid[0][1], valid[0][-1]}:
        raise _refused(what, f"it is signed by the key {valid[0][-1]}, and pinned is {fingerprint}")


def _without_armor(key: bytes, what: str) -> bytes:
    """Keyrings as gpgv reads them: several armored blocks become one binary file."""
    if _ARMOR not in key:
        return key
    found = bytearray()
    for block in key.split(_ARMOR)[1:]:
        body = block.replace(b"\r", b"").partition(b"-----END")[0]
        lines = body.partition(b"\n\n")[2].splitlines()
        try:
            found += b64decode(b"".join(line for line in lines if not line.startswith(b"=")), validate=True)
        except Base64Error:
            raise _refused(what, "the key is damaged") from None
    return bytes(found)


def _refused(what: str, why: str) -> ImageError:
    return ImageError("Signature refused", f"{what}: {why}. The image is not taken.")
