"""A PostgreSQL server on its own port, and PgBouncer before it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD, DATABASE = "anna", "canary-of-the-database", "clusters"
ENVIRONMENT = {"PGUSER": USER, "PGPASSWORD": PASSWORD}
LIMIT_S = 30.0


@contextmanager
def postgresql_server() -> Iterator[int]:
    """Start a server with an empty database and yield its port."""
    with _home() as folder:
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        initialise = [_program("initdb"), "-D", folder / "data", "-U", USER, "-A", "scram-sha-256"]
        _run([*initialise, f"--pwfile={folder / 'password'}", "--no-sync", "-E", "UTF8", "--locale=C"])
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
            "fsync": "off",
            "max_connections": "40",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with process([_program("postgres"), "-D", folder / "data", *options], folder):
            wait_for(lambda: _answers(port, "postgres"), "PostgreSQL")
            with raw_connection(port, "postgres") as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
            yield port


@contextmanager
def pgbouncer(upstream: int, mode: str) -> Iterator[int]:
    """Start PgBouncer with ``pool_mode`` ``mode`` before the server at ``upstream`` and yield its port."""
    port = free_port()
    with _home() as folder:
        (folder / "users").write_text(f'"{USER}" "{PASSWORD}"\n')
        (folder / "ini").write_text(
            f"[databases]\n{DATABASE} = host=127.0.0.1 port={upstream}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {folder / 'users'}\npool_mode = {mode}\n"
            "ignore_startup_parameters = extra_float_digits\n"
        )
        with process([_program("pgbouncer", "/usr/sbin"), "-q", folder / "ini"], folder):
            wait_for(lambda: _answers(port, DATABASE), "PgBouncer")
            yield port


def raw_connection(port: int, database: str = DATABASE):
    """Open a connection that bypasses the backend."""
    import psycopg

    return psycopg.connect(
        host="127.0.0.1", port=port, dbname=database, user=USER, password=PASSWORD, autocommit=True, connect_timeout=5
    )


@contextmanager
def process(command: list[str | Path], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server that refuses to run as root, and kill it by its process ID."""
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **_unprivileged())
        try:
            yield started
        finally:
            started.send_signal(signal.SIGINT)
            try:
                started.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen within {LIMIT_S} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _home() -> Iterator[Path]:
    """Yield a directory of the unprivileged user."""
    folder = Path(tempfile.mkdtemp(prefix="pragmaspec-test-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        yield folder
    finally:
        shutil.rmtree(folder)


def _unprivileged() -> dict[str, object]:
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_unprivileged())
    assert done.returncode == 0, done.stderr


def _program(name: str, *more: str) -> str:
    folders = [*sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True), *more]
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ["PATH"]]))
    assert found, f"{name} is not installed: see tests/packages.txt"
    return found


def _answers(port: int, database: str) -> bool:
    import psycopg

    try:
        raw_connection(port, database).close()
    except psycopg.OperationalError:
        return False
    return True
