"""The OpenSSH files of one stack: client configuration, known hosts and the operator's private key."""

import os
from collections.abc import Sequence
from pathlib import Path

from pragmaspec.access.routes import Route
from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey, operator_key
from pragmaspec.paths import data_home, home
from pragmaspec.spec.fields.default_keys import DEFAULT_KEY_NAMES
from pragmaspec.state.backends.local.durable import make_private_directory, replace_file


class SshFiles(Frozen, frozen=True):
    """Absolute paths in the client configuration.

    ``identities`` are private keys, in the order in which they are offered; ``control`` is a socket path (with OpenSSH's tokens)
    for shared connections to a frontend, None for separate connections.
    """

    known_hosts: str
    identities: tuple[str, ...]
    control: str | None = None
    port: int = 22


def ssh_config_text(routes: Sequence[Route], files: SshFiles, awaited: Sequence[Route] = ()) -> str:
    """Return a client configuration for ``ssh -F``, or for inclusion in the user's own.

    ``awaited`` routes, without an address yet, are not part of it, and complete once they are appended.

    Host keys are checked against the generated file only and never learned; keys are offered in order, so that a full agent
    cannot use up the server's patience.
    """
    jumps = {route.jump for route in (*routes, *awaited) if route.jump}
    blocks = [_host(route, files.control if route.name in jumps else None) for route in routes]
    if routes or awaited:
        blocks.append(_common([route.name for route in (*routes, *awaited)], files))
    return "\n".join(["# Written by pragmaspec from the recorded state; changes are lost.\n", *blocks])


def known_hosts_text(routes: Sequence[Route]) -> str:
    """Return the host keys, each under the alias of its route."""
    return "".join(f"{route.host_alias} {route.host_key}\n" for route in routes)


def _host(route: Route, control: str | None) -> str:
    lines = [f"Host {route.name}", f"  HostName {route.address}", f"  HostKeyAlias {route.host_alias}", f"  User {route.user}"]
    lines.append(f"  ConnectTimeout {route.connect_timeout_s}")
    if route.jump:
        lines.append(f"  ProxyJump {route.jump}")
    if control:
        lines += ["  ControlMaster auto", f"  ControlPath {_quoted(control, tokens=True)}", "  ControlPersist 60"]
    return "\n".join(lines) + "\n"


def _common(names: Sequence[str], files: SshFiles) -> str:
    lines = [
        f"Host {' '.join(names)}",
        *(f"  IdentityFile {_quoted(path)}" for path in files.identities),
        f"  Port {files.port}",
        "  IdentitiesOnly yes",
        f"  UserKnownHostsFile {_quoted(files.known_hosts)}",
        "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
        "  HostKeyAlgorithms ssh-ed25519",
        "  CheckHostIP no",
        "  UpdateHostKeys no",
        "  ServerAliveInterval 5",
        "  ServerAliveCountMax 6",
    ]
    return "\n".join(lines) + "\n"


def _quoted(path: str, *, tokens: bool = False) -> str:
    """Return ``path`` quoted for the configuration. Its percent signs are OpenSSH tokens only if ``tokens``."""
    text = path if tokens else path.replace("%", "%%")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_SOCKET_PATH_BYTES = 107 - len("/cm-") - 40 - 17
"""Bytes of a Unix socket path that are left for its directory: OpenSSH adds a digest and a temporary random suffix."""


def ssh_directory(lineage: str) -> Path:
    """Return the directory of a stack's files: in the user's runtime directory if there is one, else in the data directory."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and os.access(runtime, os.W_OK):
        return Path(runtime) / "pragmaspec" / lineage
    return data_home() / "pragmaspec" / "ssh" / lineage


def append_route(directory: Path, route: Route, *, is_jump: bool) -> None:
    """Append an awaited ``route`` with its address to the configuration in ``directory``. Raises OSError."""
    control = _control(directory) if is_jump else None
    with (directory / "config").open("a", encoding="utf-8") as file:
        file.write(f"\n{_host(route, control)}")


def write_ssh_files(
    directory: Path, routes: Sequence[Route], stack_key: StackKey, port: int = 22, awaited: Sequence[Route] = ()
) -> Path:
    """Write the files for ``routes`` to ``directory``, and return the path of the configuration. Raises OSError.

    ``awaited``: routes whose addresses :func:`append_route` adds.
    """
    make_private_directory(directory)
    identity = directory / "id_operator"
    known_hosts = directory / "known_hosts"
    config = directory / "config"
    files = SshFiles(
        known_hosts=str(known_hosts),
        identities=(str(identity), *_own_identities()),
        control=_control(directory),
        port=port,
    )
    _write(identity, operator_key(stack_key).private)
    _write(known_hosts, known_hosts_text((*routes, *awaited)))
    _write(config, ssh_config_text(routes, files, awaited))
    return config


def _control(directory: Path) -> str | None:
    """Return the path of the sockets of shared connections; None if it would be too long."""
    short = len(os.fsencode(directory)) <= _SOCKET_PATH_BYTES
    return f"{str(directory).replace('%', '%%')}/cm-%C" if short else None


def _own_identities() -> tuple[str, ...]:
    """The key files of the user; an agent may have them loaded."""
    directory = home() / ".ssh"
    return tuple(str(directory / name) for name in DEFAULT_KEY_NAMES if (directory / name).is_file())


def _write(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, unless it is up to date: another process may be reading it."""
    data = text.encode()
    try:
        if path.read_bytes() == data and not path.stat().st_mode & 0o077:
            return
    except FileNotFoundError:
        pass
    replace_file(path, data)
