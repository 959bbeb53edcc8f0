"""The default public keys of clusters: the user's own, as the OpenSSH client finds them."""

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.frozen import Frozen
from pragmaspec.spec.fields.ssh_agent import agent_keys

if TYPE_CHECKING:
    from pragmaspec.spec.files import TrackedReader

# Plans that read no YAML use this module too, so it must not load the models.

DEFAULT_KEY_NAMES = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
"""Names of the private keys in ~/.ssh that the OpenSSH client tries; public keys have the suffix .pub."""
AGENT_ENTRY = "ssh-agent"
"""The name of the ssh agent in the record of input files."""


class DefaultKeyFile(Frozen, frozen=True):
    """A default public key file: its content, or the reason why it cannot be read."""

    path: Path
    data: bytes = b""
    unreadable: str = ""


def agent_socket() -> str:
    """Return the socket of the user's ssh agent; empty if there is none."""
    return os.environ.get("SSH_AUTH_SOCK", "")


def default_key_files(home: Path, files: "TrackedReader") -> tuple[DefaultKeyFile, ...]:
    """Return the public key files that exist in ``~/.ssh``."""
    found = []
    for path in (home / ".ssh" / f"{name}.pub" for name in DEFAULT_KEY_NAMES):
        try:
            data = files.read_optional(path)
        except OSError as error:
            found.append(DefaultKeyFile(path=path, unreadable=error.strerror or str(error)))
            continue
        if data is not None:
            found.append(DefaultKeyFile(path=path, data=data))
    return tuple(found)


def has_default_key_pair(home: Path) -> bool:
    """True if a default public key has its private key next to it, in which case the agent is not used."""
    directory = home / ".ssh"
    return any(_exists(directory / name) and _exists(directory / f"{name}.pub") for name in DEFAULT_KEY_NAMES)


def private_key_without_public(home: Path) -> Path | None:
    """Return a default private key whose public key is missing, if any."""
    directory = home / ".ssh"
    return next(
        (directory / name for name in DEFAULT_KEY_NAMES if _exists(directory / name) and not _exists(directory / f"{name}.pub")),
        None,
    )


def default_agent_keys(home: Path, agent: str, files: "TrackedReader | None" = None) -> tuple[str, ...]:
    """Return the public key lines of the ``agent``, unless a key in ``~/.ssh`` has its private key next to it."""
    if has_default_key_pair(home) or not agent:
        return ()
    keys = agent_keys(agent)
    if files is not None:
        files.record_digest(AGENT_ENTRY, _digest(keys))
    return keys


def default_keys_digest(home: Path, agent: str) -> str:
    """Return a text that changes if the default keys change for another reason than a changed public key file."""
    private_keys = " ".join(name for name in DEFAULT_KEY_NAMES if _exists(home / ".ssh" / name))
    return f"{private_keys} {'' if has_default_key_pair(home) or not agent else _digest(agent_keys(agent))}"


def _digest(lines: tuple[str, ...]) -> str:
    return sha256("\n".join(lines).encode()).hexdigest()


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for inaccessible directories
