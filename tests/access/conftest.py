"""A recorded cluster, and a real OpenSSH server on the loopback interface in the role of one of its nodes."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from pragmaspec.guest.keys import StackKey, host_key, operator_key
from pragmaspec.resources import Mark, Nic, Node
from pragmaspec.state_model import Record, State

LINEAGE = "3f9a1c2b-5d6e-4f70-8a91-b2c3d4e5f607"
KEY = StackKey(b"k" * 32)


def recorded(name: str, index: int = -1, *, site: str = "lab", public: str | None = None, private: str = "10.22.0.10") -> Record:
    """A node with a private address, and a public one if given."""
    cluster = name.rsplit("-frontend", 1)[0].rsplit("-compute", 1)[0]
    return member(cluster, site, index, public=public, private=private)


def member(cluster: str, site: str, index: int, *, public: str | None = None, private: str = "10.22.0.10") -> Record:
    """The frontend of ``cluster``, at index -1, or one of its computes."""
    nics = [Nic(network="private", mac="52:54:00:00:00:01", address=private, prefix=24)]
    if public:
        nics.append(Nic(network="public", mac="52:54:00:00:00:02", address=public, prefix=24))
    node = Node(
        site=site,
        cluster=cluster,
        name=f"{cluster}-frontend" if index < 0 else f"{cluster}-compute-{index}",
        role="frontend" if index < 0 else "compute",
        index=max(index, 0),
        cpus=2,
        memory_mib=1024,
        disk_bytes=1,
        image="ab" * 32,
        nics=tuple(nics),
    )
    return Record(resource=node)


def state(*records: Record) -> State:
    return State(lineage=LINEAGE).with_records(records)


HELLO = state(
    recorded("hello-frontend", public="192.0.2.10", private="10.22.0.1"),
    recorded("hello-compute-0", 0),
    recorded("hello-compute-1", 1, private="10.22.0.11"),
)


class Server:
    """An OpenSSH server that has the host key of the node with the address ``node``."""

    def __init__(self, folder: Path, node: str, stack_key: StackKey = KEY) -> None:
        folder.mkdir(mode=0o700)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        _private(folder / "host_key", host_key(stack_key, Mark(lineage=LINEAGE, address=node)).private)
        _private(folder / "authorized_keys", operator_key(KEY).public + "\n")
        _private(
            folder / "config",
            f"Port {self.port}\nListenAddress 127.0.0.1\nListenAddress 127.0.0.2\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n",
        )
        self.log = folder / "log"
        self.process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-f", str(folder / "config"), "-E", str(self.log)], stdin=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


@pytest.fixture
def serve(tmp_path):
    """``serve(node address)`` starts a server; all servers are stopped after the test."""
    # OpenSSH requires this folder, which the service of the package creates if there is one.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    servers: list[Server] = []

    def start(node: str, stack_key: StackKey = KEY) -> Server:
        servers.append(Server(tmp_path / f"sshd{len(servers)}", node, stack_key))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def short_folder():
    """A folder whose path is short enough for a socket in it."""
    import tempfile

    # An ssh master that is exiting may remove its socket during the cleanup.
    with tempfile.TemporaryDirectory(prefix="ps", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """Hide the ssh keys of the user who runs the tests."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    assert "SSH_AUTH_SOCK" not in os.environ
