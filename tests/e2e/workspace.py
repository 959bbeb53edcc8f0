"""A user's working directory on a machine with a hypervisor: the installed command, and what virsh would list."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import libvirt
import msgspec

URI = "qemu:///system"
POOL = "pragmaspec-test"
NETWORK = "pragmaspec-test"
HOST_ADDRESS = "192.168.150.1"
APPLY_LIMIT_S = 240


class Listing(NamedTuple):
    """What is at the hypervisor, by name, of clusters called ``trial`` and in the tests' own pool: others work there too."""

    domains: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]


class Ran(NamedTuple):
    """What a command said."""

    status: int
    out: str
    err: str


class Workspace:
    """A directory with a spec, an isolated home, and the installed ``pragmaspec``."""

    def __init__(self, directory: Path, home: Path, image: Path) -> None:
        self.directory = directory
        self.home = home
        self._image = image
        (home / ".ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
        key = home / ".ssh" / "id_ed25519"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "user@laptop", "-f", key], check=True)
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """As a user's, with a home of its own and no terminal."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PRAGMASPEC_", "SSH_"))}
        return {**kept, "HOME": str(self.home), "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}

    def command(self, *arguments: str) -> list[str]:
        """The installed command with ``arguments``."""
        return [str(Path(sys.executable).with_name("pragmaspec")), *arguments]

    def run(self, *arguments: str, status: int = 0, limit_s: float = APPLY_LIMIT_S) -> Ran:
        """Run to the end and expect exit ``status``."""
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
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start and return at once, in a process group of its own; output goes to a file beside the spec."""
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
        """The command's ``--json`` answer."""
        return msgspec.json.decode(self.run(*arguments, "--json", status=status).out)

    def spec(
        self, *, computes: int = 2, memory: str = "192 MiB", extra: Mapping[str, str] | None = None, **settings: str
    ) -> None:
        """Write ``cluster.yaml``: cluster ``trial`` of tiny guests. ``settings``: lines of it; ``extra``: of the site."""
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
        """Recorded nodes: name → private address."""
        listed = self.json("list", "cluster", "trial")
        return {node["name"]: node["addresses"]["private"] for node in listed["clusters"][0]["nodes"]}


def connect() -> libvirt.virConnect:
    """A connection of the test's own, beside the product's."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return libvirt.open(URI)


def listing(*, refresh: bool = True) -> Listing:
    """Everything at the hypervisor now. ``refresh`` reads the pool's directory anew, which an upload under way forbids."""
    connection = connect()
    try:
        pool = connection.storagePoolLookupByName(POOL)
        if refresh:
            pool.refresh()
        return Listing(
            frozenset(found.name() for found in connection.listAllDomains() if found.name().startswith("trial-")),
            frozenset(found.name() for found in connection.listAllNetworks() if "/trial/" in found.XMLDesc()),
            frozenset(pool.listVolumes()),
        )
    finally:
        connection.close()


def domain(node: str) -> libvirt.virDomain:
    """The domain of ``node``, whatever stack it belongs to; there must be one."""
    (found,) = [domain for domain in connect().listAllDomains() if domain.name().startswith(f"{node}.")]
    return found
