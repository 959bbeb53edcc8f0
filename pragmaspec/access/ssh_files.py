"""The files that OpenSSH reads, written for one stack: configuration, host keys and the operator's private key."""

import os
from collections.abc import Sequence
from pathlib import Path

from pragmaspec.access.routes import Route
from pragmaspec.access.ssh_config import SshFiles, known_hosts_text, ssh_config_text
from pragmaspec.guest.identity import StackKey, operator_key
from pragmaspec.paths import data_home, home
from pragmaspec.spec.own_keys import OWN_KEYS
from pragmaspec.store.durable import private_directory, replace_file

_SOCKET_PATH_BYTES = 107 - len("/cm-") - 40 - 17
"""What is left of a Unix socket's path for its folder: OpenSSH adds a digest and, while it makes it, a random ending."""


def ssh_directory(lineage: str) -> Path:
    """Where the files of a stack stand: the user's runtime folder when there is one, else the data folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.access(runtime, os.W_OK):
        return Path(runtime) / "pragmaspec" / lineage
    return data_home() / "pragmaspec" / "ssh" / lineage


def write_ssh_files(directory: Path, routes: Sequence[Route], stack_key: StackKey, port: int = 22) -> Path:
    """Write what ssh needs for ``routes`` into ``directory`` and return the path of the configuration. Raises OSError."""
    private_directory(directory)
    identity = directory / "id_operator"
    known_hosts = directory / "known_hosts"
    config = directory / "config"
    short = len(os.fsencode(directory)) <= _SOCKET_PATH_BYTES
    files = SshFiles(
        known_hosts=str(known_hosts),
        identities=(str(identity), *_own_identities()),
        control=f"{str(directory).replace('%', '%%')}/cm-%C" if short else None,
        port=port,
    )
    _write(identity, operator_key(stack_key).private)
    _write(known_hosts, known_hosts_text(routes))
    _write(config, ssh_config_text(routes, files))
    return config


def _own_identities() -> tuple[str, ...]:
    """The user's own keys: those in files, which an agent may hold."""
    folder = home() / ".ssh"
    return tuple(str(folder / name) for name in OWN_KEYS if (folder / name).is_file())


def _write(path: Path, text: str) -> None:
    """Put ``text`` into ``path``, unless it is there: another pragmaspec may be reading it."""
    data = text.encode()
    try:
        if path.read_bytes() == data and not path.stat().st_mode & 0o077:
            return
    except FileNotFoundError:
        pass
    replace_file(path, data)
