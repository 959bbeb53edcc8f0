"""A temporary user directory with a spec for a simulated site, and the command line in this process or in its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pragmaspec.cli.app import run

SECTOR = 512


class CommandOutput(NamedTuple):
    """Exit status and output of a command line."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Runs command lines in a directory: ``cli("plan")``. :meth:`spec` writes its cluster.yaml."""

    def __init__(self, directory: Path, read_output: Callable[[], tuple[str, str]]) -> None:
        self.directory = directory
        self._read_output = read_output
        raw = bytearray(2**20)
        raw[SECTOR - 2 : SECTOR] = b"\x55\xaa"
        (directory / "disk.raw").write_bytes(raw)

    def __call__(self, *arguments: str, status: int = 0) -> CommandOutput:
        """Run in this process and expect the exit ``status``."""
        self._read_output()
        exit_status = run(arguments)
        result = CommandOutput(exit_status, *self._read_output())
        assert exit_status == status, f"{arguments}: exit {exit_status}\n{result.out}\n{result.err}"
        return result

    def process(self, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> CommandOutput:
        """Run in a new process."""
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
        return CommandOutput(done.returncode, done.stdout, done.stderr)

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
        """Write ``cluster.yaml``. ``settings``: additional keys of the cluster; ``site``: of the site."""
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

    def running(self, computes: int = 2, **settings: str) -> "CommandLine":
        """Write a spec and apply it."""
        self.spec(computes, **settings)
        self("apply", "--auto-approve")
        return self
