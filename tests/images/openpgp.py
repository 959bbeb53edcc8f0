"""Real OpenPGP keys, made by gpg in a folder of their own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Key:
    """A key pair of a publisher."""

    home: Path
    fingerprint: str

    def public(self, *, armor: bool = True) -> bytes:
        return self._gpg(*(["--armor"] if armor else []), "--export", self.fingerprint)

    def detached(self, content: bytes, *more: str) -> bytes:
        return self._gpg(*more, "--local-user", self.fingerprint, "--armor", "--detach-sign", "-o", "-", given=content)

    def around(self, content: bytes) -> bytes:
        return self._gpg("--local-user", self.fingerprint, "--clear-sign", "-o", "-", given=content)

    def revoke(self) -> None:
        certificate = (
            (self.home / "openpgp-revocs.d" / f"{self.fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
        )
        self._gpg("--import", given=certificate.encode())

    def _gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        return gpg(self.home, *arguments, given=given)


def gpg(home: Path, *arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(
        [
            "gpg",
            "--batch",
            "--yes",
            "--quiet",
            "--homedir",
            str(home),
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
            *arguments,
        ],
        input=given,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@contextmanager
def keys() -> Iterator[Path]:
    """A folder for keys; its agent is ended afterwards. Not in pytest's own, whose names are too long for a socket."""
    home = Path(tempfile.mkdtemp(prefix="gpg-"))
    try:
        yield home
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, env={"PATH": os.environ["PATH"]})
        shutil.rmtree(home, ignore_errors=True)


def make_key(home: Path, name: str, *more: str, lasts: str = "never") -> Key:
    before = _fingerprints(home)
    gpg(home, *more, "--quick-generate-key", f"{name} <{name}@example.org>", "ed25519", "sign", lasts)
    (made,) = _fingerprints(home) - before
    return Key(home, made)


def _fingerprints(home: Path) -> set[str]:
    listed = gpg(home, "--list-secret-keys", "--with-colons").decode().splitlines()
    return {line.split(":")[9] for line in listed if line.startswith("fpr:")}
