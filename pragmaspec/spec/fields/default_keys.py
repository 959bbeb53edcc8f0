"""The public keys that are used when a cluster names none: the user's own, as the OpenSSH client finds them."""

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pragmaspec.frozen import Frozen
from pragmaspec.spec.fields.ssh_agent import agent_keys

if TYPE_CHECKING:
    from pragmaspec.spec.files import TrackedReader

# Also a plan that reads no YAML needs this: nothing here may load the models.

DEFAULT_KEY_NAMES = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
"""Names of private keys in ~/.ssh that the OpenSSH client tries; the public ones end in .pub."""
AGENT_ENTRY = "ssh-agent"
"""Stands for the agent among the files that a spec reads."""


class DefaultKeyFile(Frozen, frozen=True):
    """A default public key file: its bytes, or the reason why it cannot be read."""

    path: Path
    data: bytes = b""
    unreadable: str = ""


def agent_socket() -> str:
    """Where the user's ssh agent listens; empty without one."""
    return os.environ.get("SSH_AUTH_SOCK", "")


def default_key_files(home: Path, files: "TrackedReader") -> tuple[DefaultKeyFile, ...]:
    """The public key files that there are in ``~/.ssh``."""
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
    """True if a default public key has its private key beside it; the agent is not asked then."""
    folder = home / ".ssh"
    return any(_exists(folder / name) and _exists(folder / f"{name}.pub") for name in DEFAULT_KEY_NAMES)


def private_key_without_public(home: Path) -> Path | None:
    """A default private key without its public one, if there is any."""
    folder = home / ".ssh"
    return next(
        (folder / name for name in DEFAULT_KEY_NAMES if _exists(folder / name) and not _exists(folder / f"{name}.pub")), None
    )


def default_agent_keys(home: Path, agent: str, files: "TrackedReader | None" = None) -> tuple[str, ...]:
    """The key lines of the ``agent``, which is asked when no key in ``~/.ssh`` has its private key beside it."""
    if has_default_key_pair(home) or not agent:
        return ()
    keys = agent_keys(agent)
    if files is not None:
        files.note(AGENT_ENTRY, _digest(keys))
    return keys


def default_keys_digest(home: Path, agent: str) -> str:
    """A text that changes when other keys become the defaults without any public key file changing."""
    there = " ".join(name for name in DEFAULT_KEY_NAMES if _exists(home / ".ssh" / name))
    return f"{there} {'' if has_default_key_pair(home) or not agent else _digest(agent_keys(agent))}"


def _digest(lines: tuple[str, ...]) -> str:
    return sha256("\n".join(lines).encode()).hexdigest()


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises where a folder may not be entered
