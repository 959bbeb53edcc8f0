"""The texts that OpenSSH reads: a client configuration and the host keys that go with it. Pure."""

from collections.abc import Sequence

from pragmaspec.access.routes import Route
from pragmaspec.frozen import Frozen


class SshFiles(Frozen, frozen=True):
    """Absolute paths that the configuration names.

    ``identities`` are private keys, in the order they are offered; ``control`` is a socket path (with OpenSSH's tokens) by which
    connections to a frontend are shared, None for one connection each.
    """

    known_hosts: str
    identities: tuple[str, ...]
    control: str | None = None
    port: int = 22


def ssh_config_text(routes: Sequence[Route], files: SshFiles) -> str:
    """A client configuration for ``ssh -F``, or to be included in a user's own.

    Host keys are checked against the generated file only and never learned; keys are offered in order, so that a full agent
    cannot use up the server's patience.
    """
    jumps = {route.jump for route in routes if route.jump}
    blocks = [_host(route, files.control if route.name in jumps else None) for route in routes]
    if routes:
        blocks.append(_common([route.name for route in routes], files))
    return "\n".join(["# Written by pragmaspec from the recorded state; changes are lost.\n", *blocks])


def known_hosts_text(routes: Sequence[Route]) -> str:
    """The host keys, each under its route's alias."""
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
    """``path`` as one word of the configuration; its per cent signs are OpenSSH's tokens only when ``tokens`` says so."""
    text = path if tokens else path.replace("%", "%%")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
