"""A user's working directory on a machine with a hypervisor: the installed command, and listings as by virsh."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import libvirt
import msgspec

URI = "qemu:///system"
POOL = "pragmaspec-test"
NETWORK = "pragmaspec-test"
HOST_ADDRESS = "192.168.150.1"
APPLY_LIMIT_S = 240


@contextmanager
def answering(address: str) -> Iterator[tuple[int, list[str]]]:
    """Answer one connection to ``address`` with ``outside``. Yields the port, and the list of addresses that have connected."""
    peers: list[str] = []
    with socket.create_server((address, 0)) as server:
        server.settimeout(60)

        def answer() -> None:
            connection, (peer, _port) = server.accept()
            with connection:
                peers.append(peer)
                connection.sendall(b"outside\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1], peers
        thread.join()


class Listing(NamedTuple):
    """Names of the objects of clusters ``trial`` and in the tests' own pool: the hypervisor may have other users."""

    domains: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]


class CommandResult(NamedTuple):
    """The result of a command."""

    status: int
    out: str
    err: str


class Workspace:
    """A directory with a spec, an isolated home, and the installed ``pragmaspec``."""

    def __init__(self, directory: Path, home: Path, image: Path) -> None:
        self.directory = directory
        self.home = home
        self._image = image
        self.python_path = ""
        """Directories of further packages."""
        self.variables: dict[str, str] = {}
        """Further variables of the environment."""
        (home / ".ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
        key = home / ".ssh" / "id_ed25519"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "user@laptop", "-f", key], check=True)
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def cache(self) -> Path:
        """The directory of caches of the user."""
        return self.home / ".cache" / "pragmaspec"

    @property
    def environment(self) -> dict[str, str]:
        """A user's environment, with its own home and no terminal."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PRAGMASPEC_", "SSH_"))}
        packages = {"PYTHONPATH": self.python_path} if self.python_path else {}
        return {**kept, **packages, **self.variables, "HOME": str(self.home), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}

    def command(self, *arguments: str) -> list[str]:
        """The installed command with ``arguments``."""
        return [str(Path(sys.executable).with_name("pragmaspec")), *arguments]

    def run(self, *arguments: str, status: int = 0, limit_s: float = APPLY_LIMIT_S) -> CommandResult:
        """Run the command and expect exit ``status``."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        assert done.returncode == status, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start the command in its own process group, with its output in a file beside the spec."""
        with (self.directory / "output.txt").open("ab") as output:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def json(self, *arguments: str, status: int = 0) -> Any:
        """The decoded ``--json`` output of the command."""
        return msgspec.json.decode(self.run(*arguments, "--json", status=status).out)

    def spec(
        self, *, computes: int = 2, memory: str = "192 MiB", extra: Mapping[str, str] | None = None, **settings: str
    ) -> None:
        """Write ``cluster.yaml``: cluster ``trial`` of tiny guests. ``settings``: its options; ``extra``: those of the site."""
        public = f"{{network: {NETWORK}, addresses: [192.168.150.10-192.168.150.19]}}"
        site = {"public": public, "pool": POOL, "overcommit": "{cpus: 100}", **(extra or {})}
        cluster = {
            "site": "lab",
            "image": "tiny",
            "readiness": "ssh",
            "frontend": "{cpus: 1, memory: 192 MiB}",
            "computes": f"{{count: {computes}, cpus: 1, memory: {memory}}}",
            **settings,
        }
        self.directory.joinpath("cluster.yaml").write_text(
            "images:\n"
            f"  tiny:\n    source: {self._image}/disk.qcow2\n    kernel: {self._image}/vmlinuz\n"
            f"    initrd: {self._image}/initrd\n    cmdline: console=ttyS0 quiet\n"
            "sites:\n  lab:\n    provider: libvirt\n"
            + "".join(f"    {name}: {value}\n" for name, value in site.items())
            + "clusters:\n  trial:\n"
            + "".join(f"    {name}: {value}\n" for name, value in cluster.items()),
            encoding="utf-8",
        )

    def nodes(self) -> dict[str, str]:
        """The private addresses of the recorded nodes, by name."""
        listed = self.json("list", "cluster", "trial")
        return {node["name"]: node["addresses"]["private"] for node in listed["clusters"][0]["nodes"]}


def connect() -> libvirt.virConnect:
    """A separate connection for tests."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return libvirt.open(URI)


def listing(*, refresh: bool = True) -> Listing:
    """List the hypervisor's objects. ``refresh`` rescans the pool, which is not possible during an upload."""
    connection = connect()
    try:
        pool = connection.storagePoolLookupByName(POOL)
        if refresh:
            pool.refresh()
        return Listing(
            frozenset(found.name() for found in connection.listAllDomains() if found.name().startswith(("trial-", "trial+"))),
            frozenset(found.name() for found in connection.listAllNetworks() if "/trial/" in found.XMLDesc()),
            frozenset(pool.listVolumes()),
        )
    finally:
        connection.close()


def domain(node: str) -> libvirt.virDomain:
    """The only domain of ``node``, of any stack."""
    (found,) = [domain for domain in connect().listAllDomains() if domain.name().replace("+", "-").startswith(f"{node}.")]
    return found
