"""Runs commands on nodes with the OpenSSH client, whose host keys are provided in advance and never learned."""

import shlex
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from pragmaspec.access.routes import Route, planned_routes
from pragmaspec.access.ssh_files import append_route, ssh_directory, write_ssh_files
from pragmaspec.errors import AccessError, HostKeyError
from pragmaspec.frozen import Frozen
from pragmaspec.guest.keys import StackKey
from pragmaspec.resources import Node
from pragmaspec.state_model import State

SSH_PORT = 22
_SSH_FAILED = 255
_TICK_S = 1.0


class CommandResult(Frozen, frozen=True):
    """The exit status and output of a remote command."""

    status: int
    stdout: bytes
    stderr: str


class SshClient:
    """Ssh access to the nodes of one stack, by address. Thread-safe, except :meth:`use`.

    ``_awaited`` are the routes to nodes whose sites have yet to choose their addresses.
    """

    def __init__(self, lineage: str, stack_key: StackKey, directory: Path | None = None, port: int = SSH_PORT) -> None:
        self._directory = directory or ssh_directory(lineage)
        self._stack_key = stack_key
        self._port = port
        self._routes: dict[str, Route] = {}
        self._awaited: dict[str, Route] = {}
        self._learning = threading.Lock()
        self._nodes: dict[str, str] = {}
        self._config = self._directory / "config"

    @property
    def config(self) -> Path:
        """The client configuration, for ``ssh -F``."""
        return self._config

    def use(self, state: State) -> tuple[Route, ...]:
        """Write the ssh files for the nodes in ``state``, and return the routes to them. Raises AccessError."""
        found = planned_routes(state, self._stack_key)
        self._routes = {route.node: route for route in found if route.address}
        self._awaited = {route.node: route for route in found if not route.address}
        self._nodes = {route.name: route.node for route in found}
        self._write()
        return self.routes

    def learn(self, node: Node) -> None:
        """Use the address that ``node`` has got by its boot. Raises AccessError if the ssh files cannot be written."""
        with self._learning:
            route = self._awaited.get(node.address) or self._routes.get(node.address)
            nic = node.nic("public") or node.nic("private")
            if route is None or nic is None or route.address == nic.address:
                return
            known = replace(route, address=nic.address)
            self._routes[node.address] = known
            if self._awaited.pop(node.address, None) is None:
                self._write()
            else:
                is_jump = any(each.jump == known.name for each in (*self._routes.values(), *self._awaited.values()))
                with _writing(self._directory):
                    append_route(self._directory, known, is_jump=is_jump)

    def _write(self) -> None:
        with _writing(self._directory):
            write_ssh_files(self._directory, self.routes, self._stack_key, self._port, tuple(self._awaited.values()))

    @property
    def routes(self) -> tuple[Route, ...]:
        """The routes to all nodes with known addresses."""
        return tuple(self._routes.values())

    def route(self, node: str) -> Route:
        """Return the route to the node with address ``node``. Raises AccessError if there is none."""
        route = self._routes.get(node) or self._awaited.get(node)
        if route is None:
            raise AccessError(
                "Unreachable node",
                f"{node} has no public address, and neither has its cluster's frontend. Its serial console can be "
                "read: pragmaspec console NODE.",
            )
        return route

    def jump(self, node: str) -> str | None:
        """Return the address of the jump host of ``node``; None for a direct connection."""
        name = self.route(node).jump
        return self._nodes[name] if name else None

    def reachable(self, node: str) -> bool:
        """True if there is a route to the node with address ``node``, or will be once its site has chosen an address."""
        return node in self._routes or node in self._awaited

    def answers(self, node: str, timeout_s: float = 5.0) -> bool:
        """True if the SSH port of ``node`` answers. Does not log in, so it costs the guest almost nothing."""
        route = self.route(node)
        if not route.address:
            return False
        if route.jump is None:
            return _greets(route.address, self._port, timeout_s)
        try:
            done = self._run(["-W", f"{route.address}:{self._port}", "--", route.jump], b"", timeout_s, None)
        except AccessError:
            return False
        return done.stdout.startswith(b"SSH-")

    def run(
        self, node: str, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 60.0, tick: Callable[[], None] | None = None
    ) -> CommandResult:
        """Run ``argv`` on ``node``, and wait for at most ``timeout_s`` seconds.

        ``tick`` is called every second meanwhile, and may raise to cancel the wait. Raises AccessError if the node is
        unreachable or the time is over, HostKeyError if another machine answers.
        """
        route = self.route(node)
        done = self._run(["-T", "--", route.name, shlex.join(argv)], stdin, timeout_s, tick)
        if done.status == _SSH_FAILED:
            raise _failed(route, done.stderr)
        return done

    def interactive(self, node: str, argv: Sequence[str] = ()) -> int:
        """Run ssh to ``node`` in this terminal, and return its exit status. ``argv`` is joined by blanks, as by ssh itself."""
        route = self.route(node)
        options = [] if argv else ["-t"]
        try:
            return subprocess.run(["ssh", "-F", str(self._config), *options, "--", route.name, *argv], check=False).returncode
        except FileNotFoundError:
            raise _no_client() from None

    def close(self) -> None:
        """Close the shared connections. They are opened again on demand."""
        for name in {route.jump for route in self._routes.values() if route.jump}:
            if any(self._directory.glob("cm-*")):
                subprocess.run(
                    ["ssh", "-F", str(self._config), "-O", "exit", "--", name], check=False, capture_output=True, timeout=10
                )

    def _run(self, arguments: Sequence[str], stdin: bytes, timeout_s: float, tick: Callable[[], None] | None) -> CommandResult:
        connect_s = max(1, min(15, int(timeout_s)))
        options = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={connect_s}", "-o", "LogLevel=ERROR"]
        try:
            process = subprocess.Popen(
                ["ssh", "-F", str(self._config), *options, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise _no_client() from None
        with process:
            try:
                stdout, stderr = _wait(process, stdin, timeout_s, tick)
            except BaseException:
                process.kill()
                raise
        return CommandResult(status=process.returncode, stdout=stdout, stderr=printable(stderr.decode(errors="replace")))


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AccessError("The ssh files cannot be written", f"{directory}: {error.strerror or error}.") from error


def _wait(
    process: "subprocess.Popen[bytes]", stdin: bytes, timeout_s: float, tick: Callable[[], None] | None
) -> tuple[bytes, bytes]:
    end = time.monotonic() + timeout_s
    given: bytes | None = stdin
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise AccessError("A command on a node took too long", f"It had {timeout_s:.0f} s.")
        try:
            return process.communicate(given, timeout=min(_TICK_S, left))
        except subprocess.TimeoutExpired:
            given = None
            if tick is not None:
                tick()


def _greets(address: str, port: int, timeout_s: float) -> bool:
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def printable(text: str) -> str:
    """Return ``text`` without terminal control characters, except line ends."""
    plain = text.replace("\r\n", "\n")
    return "".join(letter if letter == "\n" or letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in plain)


def _failed(route: Route, stderr: str) -> AccessError:
    if "Host key verification failed" in stderr or "REMOTE HOST IDENTIFICATION HAS CHANGED" in stderr:
        return HostKeyError(
            "A node has a wrong host key",
            f"The machine at {route.address} does not have the host key of {route.name}. Nothing was sent to it. Either another "
            "machine has this address, or the node's disk was replaced.",
        )
    lines = [line for line in stderr.splitlines() if line.strip()]
    detail = lines[-1] if lines else "ssh ended without a message."
    through = f" through {route.jump}" if route.jump else ""
    return AccessError("Ssh connection failed", f"{route.name} at {route.address}{through}: {detail}")


def _no_client() -> AccessError:
    return AccessError("No ssh client", "The program ssh was not found. Install it, on Debian: apt install openssh-client.")
