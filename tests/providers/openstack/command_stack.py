"""A stack at the lab, applied by the installed command in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.labs.openstack.lab import OpenStackLab

RUN_LIMIT_S = 600
_SPEC = """\
images:
  small: {{source: disk.qcow2}}
sites:
  lab: {{provider: openstack, cloud: {cloud}, zones: fake, parallel: {parallel}}}
clusters:
  hello:
    site: lab
    image: small
    readiness: none
    frontend: {{flavor: tiny, disks: {{scratch: {{size: 1 GiB, mount: /scratch}}}}}}
    computes: {{count: {computes}, flavor: tiny}}
"""


class CommandStack:
    """The cluster ``hello`` in a project, with a home directory of its own. Nothing of it boots: its zone has no guests."""

    def __init__(
        self, directory: Path, lab: OpenStackLab, cloud: str = "lab-other", *, computes: int = 2, parallel: int = 1
    ) -> None:
        self.directory, self._lab = directory, lab
        (directory / "home").mkdir(parents=True)
        (directory / "disk.raw").write_bytes(os.urandom(512).ljust(2**20, b"\0"))  # an image of its own
        convert = ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2"]
        subprocess.run([*convert, directory / "disk.raw", directory / "disk.qcow2"], check=True)
        self._spec = directory / "cluster.yaml"
        self._spec.write_text(_SPEC.format(cloud=cloud, computes=computes, parallel=parallel), encoding="utf-8")

    @property
    def lineage(self) -> str:
        """The lineage in the state."""
        (found,) = self.directory.glob("state/**/state.json")
        return str(json.loads(found.read_text(encoding="utf-8"))["lineage"])

    def start(self, *arguments: str, failpoint: str = "") -> "subprocess.Popen[str]":
        """Start the command; ``failpoint``: see :mod:`pragmaspec.failpoints`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PRAGMASPEC_", "OS_"))}
        own = {"HOME": str(self.directory / "home"), "OS_CLIENT_CONFIG_FILE": str(self._lab.clouds_file), "NO_COLOR": "1"}
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("pragmaspec")), *arguments],
            cwd=self.directory,
            env={**kept, **own, "PRAGMASPEC_FAILPOINT": failpoint},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def end(self, process: "subprocess.Popen[str]", *, status: int = 0) -> str:
        """Wait for a process, and return its output; expects its exit ``status``, negative for a signal."""
        output, _ = process.communicate(timeout=RUN_LIMIT_S)
        assert process.returncode == status, output
        return output

    def run(self, *arguments: str, failpoint: str = "", status: int = 0) -> str:
        """Run the command."""
        return self.end(self.start(*arguments, failpoint=failpoint), status=status)

    def apply(self, failpoint: str = "", status: int = 0) -> str:
        """Run ``apply``."""
        return self.run("apply", "cluster.yaml", "--auto-approve", failpoint=failpoint, status=status)

    def clean(self, failpoint: str = "", status: int = 0) -> str:
        """Run ``clean``."""
        return self.run("clean", "hello", "--shutdown", "--auto-approve", failpoint=failpoint, status=status)

    def expected(self) -> list[str]:
        """Return the lines of the services' listing for the whole cluster, with two computes."""
        nodes = {"frontend": "10.0.0.4", "compute-0": "10.0.0.10", "compute-1": "10.0.0.11"}
        lines = [
            "group hello with 5 rules",
            "network hello-private",
            "subnet hello-private",
            "router hello",
            "image small active",
        ]
        lines += ["volume hello-frontend-scratch of 1 GiB at hello-frontend"]
        lines += ["floating address of 10.0.0.4", "port 10.0.0.1 of network:router_interface"]
        lines += [f"server hello-{name} ACTIVE tiny" for name in nodes]
        return sorted([*lines, *(f"port {address} of server hello-{name}" for name, address in nodes.items())])
