"""A user's directory with a spec for a simulated site, and the command run in this process or in another."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pragmaspec.cli.app import run

SECTOR = 512


class Said(NamedTuple):
    """What a command line printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Workshop:
    """``spec`` writes cluster.yaml; calling the workshop runs a command line."""

    def __init__(self, directory: Path, read: Callable[[], tuple[str, str]]) -> None:
        self.directory = directory
        self._read = read
        raw = bytearray(2**20)
        raw[SECTOR - 2 : SECTOR] = b"\x55\xaa"
        (directory / "disk.raw").write_bytes(raw)

    def __call__(self, *arguments: str, status: int = 0) -> Said:
        """Run in this process and expect the exit ``status``."""
        self._read()
        found = run(arguments)
        said = Said(found, *self._read())
        assert found == status, f"{arguments}: exit {found}\n{said.out}\n{said.err}"
        return said

    def process(self, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> Said:
        """Run as a process of its own."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment | dict(environment or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "pragmaspec", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}

    def spec(
        self,
        computes: int = 2,
        *,
        memory: str = "1 GiB",
        cluster: str = "hello",
        site: Mapping[str, str] | None = None,
        **settings: str,
    ) -> Path:
        """Write ``cluster.yaml``: ``settings`` are further lines of the cluster, ``site`` of the site."""
        options = {"file": "./site.json", "public": "{addresses: [198.51.100.10-198.51.100.19], prefix: 24}", **(site or {})}
        lines = [
            "images: {tiny: {source: ./disk.raw, format: raw}}",
            "sites:",
            "  lab:",
            "    provider: simulated",
            *(f"    {name}: {value}" for name, value in options.items()),
            "clusters:",
            f"  {cluster}:",
            "    site: lab",
            "    image: tiny",
            f"    frontend: {{cpus: 1, memory: {memory}}}",
            f"    computes: {{count: {computes}, cpus: 1, memory: {memory}}}",
            *(f"    {name}: {value}" for name, value in settings.items()),
        ]
        path = self.directory / "cluster.yaml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def running(self, computes: int = 2, **settings: str) -> "Workshop":
        """A spec that has been applied."""
        self.spec(computes, **settings)
        self("apply", "--auto-approve")
        return self
