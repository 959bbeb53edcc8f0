"""All kinds of backends with one interface, so that one suite runs over all of them. A new kind is one class and one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pragmaspec.state.backends.base import Backend
from pragmaspec.state.backends.http.backend import HttpBackend
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.backends.postgresql.backend import PostgresqlBackend
from pragmaspec.state.backends.s3.backend import S3Backend
from pragmaspec.state.backends.s3.lock import LeaseTimes
from tests.state.backends import postgresql_server, s3_server
from tests.state.backends.http_server import StateServer
from tests.state.backends.samples import FAST_RETRY, QUICK


class Kind(Protocol):
    """A running server (or a directory) with states by name."""

    breakable: bool
    """True if the lock of a live holder can be broken."""

    def url(self, name: str) -> str:
        """Return the URL of the state ``name``; for a local one, its directory."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment variables for access to the server."""
        ...

    def backend(self, name: str) -> Backend:
        """Return the state ``name``, as a new process on another machine would open it."""
        ...


class LocalKind:
    breakable = False
    environment: Mapping[str, str] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        return str(self._folder / name)

    def backend(self, name: str) -> Backend:
        return LocalBackend(self._folder / name)


class HttpKind:
    breakable = True

    def __init__(self, server: StateServer) -> None:
        self.server = server

    @property
    def environment(self) -> dict[str, str]:
        return self.server.environment

    @property
    def port(self) -> int:
        return self.server.port

    def url(self, name: str, port: int | None = None) -> str:
        return self.server.url(name, port)

    def backend(self, name: str, port: int | None = None) -> Backend:
        return HttpBackend(self.url(name, port), FAST_RETRY, self.environment)


class S3Kind:
    breakable = True
    environment = s3_server.ENVIRONMENT

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, name: str, port: int | None = None) -> str:
        return f"s3://{s3_server.BUCKET}/stacks/{name}.json?endpoint=http://127.0.0.1:{port or self.port}"

    def backend(self, name: str, port: int | None = None) -> Backend:
        # A heartbeat would disturb a proxy that counts requests.
        return S3Backend(self.url(name, port), FAST_RETRY, self.environment, LeaseTimes() if port else QUICK)


class PostgresqlKind:
    breakable = True
    environment = postgresql_server.ENVIRONMENT

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, name: str) -> str:
        return f"postgresql://127.0.0.1:{self.port}/{postgresql_server.DATABASE}/{name}"

    def backend(self, name: str) -> Backend:
        return PostgresqlBackend(self.url(name).replace("://", "://anna@"), FAST_RETRY, self.environment)


@contextmanager
def running(kind: str, folder: Path) -> Iterator[Kind]:
    """Start the server of ``kind``, in ``folder``."""
    if kind == "local":
        yield LocalKind(folder)
    elif kind == "postgresql":
        with postgresql_server.postgresql_server() as port:
            yield PostgresqlKind(port)
    elif kind == "s3":
        with s3_server.s3_server() as port:
            yield S3Kind(port)
    else:
        with StateServer(kind.removeprefix("http-")) as server:
            yield HttpKind(server)


KINDS = ("local", "http-gitlab", "http-plain", "http-careless", "s3", "postgresql")
