"""Signatures of published checksums, verified by gpgv with one pinned key.

The key may come from an untrusted place, since its fingerprint is pinned: gpgv computes it from the key itself.
Source of the status lines: ``doc/DETAILS`` of GnuPG.
"""

import shutil
import subprocess
from base64 import b64decode
from binascii import Error as Base64Error
from pathlib import Path
from tempfile import TemporaryDirectory

from pragmaspec.errors import ImageError

TIMEOUT_S = 60
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_FAILURES = {
    "BADSIG": "the signature does not match the signed text",
    "ERRSIG": "it is not signed by the pinned key",
    "NO_PUBKEY": "it is not signed by the pinned key",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key has expired",
    "REVKEYSIG": "the key was revoked",
}


def verify_signature(signed: bytes, signature: bytes | None, keys: bytes, fingerprint: str, origin: str) -> bytes:
    """Return the signed text if ``signature`` (None for one around the text) is by the key with ``fingerprint``.

    ``keys``: one or more public keys, armored or not; ``origin``: a name for errors. Raises ImageError.
    """
    gpgv = shutil.which("gpgv")
    if gpgv is None:
        raise _rejected(origin, "gpgv is not installed; install the package gpgv")
    with TemporaryDirectory(prefix="pragmaspec-") as name:
        folder = Path(name)
        (folder / "key.gpg").write_bytes(_dearmor(keys, origin))
        (folder / "signed").write_bytes(signed)
        command = [gpgv, "--homedir", name, "--keyring", str(folder / "key.gpg"), "--status-fd", "1"]
        if signature is None:
            command += ["--output", str(folder / "text"), str(folder / "signed")]
        else:
            (folder / "signature").write_bytes(signature)
            command += [str(folder / "signature"), str(folder / "signed")]
        try:
            result = subprocess.run(
                command, capture_output=True, stdin=subprocess.DEVNULL, env={}, cwd=name, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise _rejected(origin, f"gpgv did not finish within {TIMEOUT_S} s") from None
        _check_status(result.returncode, result.stdout.decode(errors="replace"), fingerprint.upper(), origin)
        return signed if signature is not None else (folder / "text").read_bytes()


def _check_status(status: int, output: str, fingerprint: str, origin: str) -> None:
    """Raise ImageError unless there is exactly one valid signature, and it is by the pinned key."""
    lines = [line.split()[1:] for line in output.splitlines() if line.startswith("[GNUPG:] ") and len(line.split()) > 1]
    failure = next((_FAILURES[line[0]] for line in lines if line[0] in _FAILURES), None)
    if failure:
        raise _rejected(origin, failure)
    valid = [line for line in lines if line[0] == "VALIDSIG"]
    good = [line for line in lines if line[0] == "GOODSIG"]
    if status != 0 or len(valid) != 1 or len(good) != 1:
        raise _rejected(origin, "there is no valid signature")
    # VALIDSIG <fingerprint of the signing key, maybe a subkey> ... <fingerprint of its primary key>
    if fingerprint not in {valid[0][1], valid[0][-1]}:
        raise _rejected(origin, f"it is signed by the key {valid[0][-1]}, but the pinned key is {fingerprint}")


def _dearmor(keys: bytes, origin: str) -> bytes:
    """Return a binary keyring, as gpgv requires it; several armored blocks become one."""
    if _ARMOR not in keys:
        return keys
    binary = bytearray()
    for block in keys.split(_ARMOR)[1:]:
        body = block.replace(b"\r", b"").partition(b"-----END")[0]
        lines = body.partition(b"\n\n")[2].splitlines()
        try:
            binary += b64decode(b"".join(line for line in lines if not line.startswith(b"=")), validate=True)
        except Base64Error:
            raise _rejected(origin, "the key is damaged") from None
    return bytes(binary)


def _rejected(origin: str, reason: str) -> ImageError:
    return ImageError("Signature rejected", f"{origin}: {reason}. The image is not used.")
