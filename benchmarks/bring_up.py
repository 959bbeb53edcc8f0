"""Starting a cluster on real libvirt, compared with the same work as a parallel shell script (bring_up.sh), in turns.

    python benchmarks/bring_up.py [--nodes 3 16] [--rounds 3] [--until-ssh 3]

Requires root, the libvirt daemon with its network "default" started, virsh, qemu-img and genisoimage. Compares the work on the
hypervisor (readiness: none) as whole processes, with the image already at the site. The guest is the tiny one of the test suite.
In addition, measures the time of pragmaspec until root can log in to every node.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libvirt_cleanup import clear_libvirt
from measure import Run, Runs, home_in, machine, pragmaspec, run, table
from scratch import NAME, scratch

HERE = Path(__file__).parent
POOL = f"{NAME}-pool"
RESERVED = "192.168.122.250"
"""Address that the shell script reserves for its frontend, on libvirt's network "default"."""
POOL_DIRECTORY = Path("/var/lib/libvirt") / POOL


def main() -> None:
    arguments = _arguments()
    print(machine())
    with scratch(remove=clear_libvirt) as directory:
        make_pool()
        tiny_image(POOL_DIRECTORY / "shell")
        users = {name: Stack(directory / name) for name in ("keeper", "bench")}
        with users["keeper"].cluster(f"{NAME}-keeper", nodes=1, readiness="none", state="off"):
            rows = [row for nodes in arguments.nodes for row in compared(users["bench"], nodes, arguments)]
            print(table(("", "fastest s", "median s", "x shell"), rows))


def compared(user: "Stack", nodes: int, arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """Run both candidates in turns."""
    bare, shell, ours = [], [], []
    for _ in range(arguments.rounds):
        bare.append(shell_up(nodes))
        shell.append(shell_up(nodes, RESERVED))
        with user.cluster(NAME, nodes=nodes, readiness="none") as applied:
            ours.append(applied)
    base = Runs(tuple(shell))
    named = {
        f"{nodes} nodes, plain shell": base,
        f"{nodes} nodes, plain shell, no address": Runs(tuple(bare)),
        f"{nodes} nodes, pragmaspec apply": Runs(tuple(ours)),
    }
    if nodes in arguments.until_ssh:
        with user.cluster(NAME, nodes=nodes, readiness="ssh") as applied:
            named[f"{nodes} nodes, pragmaspec apply until ssh"] = Runs((applied,))
    return [
        (name, f"{runs.fastest_s:.2f}", f"{runs.median_s:.2f}", f"{runs.fastest_s / base.fastest_s:.2f}")
        for name, runs in named.items()
    ]


def shell_up(nodes: int, address: str = "") -> Run:
    """Measure ``bring_up.sh up``, and remove everything it created."""
    script, rest = str(HERE / "bring_up.sh"), [str(POOL_DIRECTORY / "shell"), str(nodes), address]
    try:
        return run(["bash", script, "up", *rest])
    finally:
        run(["bash", script, "down", *rest])


class Stack:
    """A user's directory with a spec."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory
        self._env = home_in(directory)

    @contextmanager
    def cluster(self, name: str, *, nodes: int, readiness: str, state: str = "running") -> Iterator[Run]:
        """Plan a cluster of ``nodes``, yield the time of its apply, and clean it."""
        (self._directory / "cluster.yaml").write_text(spec_text(name, nodes, readiness, state))
        self._pragmaspec("plan", "cluster.yaml")
        try:
            yield self._pragmaspec("apply", "cluster.yaml", "--auto-approve")
        finally:
            (self._directory / "cluster.yaml").write_text(spec_text(name, 0, readiness, state))
            self._pragmaspec("apply", "cluster.yaml", "--auto-approve", "--allow", "data-loss")

    def _pragmaspec(self, *arguments: str) -> Run:
        return run([pragmaspec(), *arguments], cwd=self._directory, env=self._env)


def spec_text(name: str, nodes: int, readiness: str, state: str) -> str:
    """Return a spec with one cluster of tiny guests, or without clusters if ``nodes`` is 0."""
    head = f"""\
images:
  tiny:
    source: {POOL_DIRECTORY}/shell/disk.qcow2
    kernel: {POOL_DIRECTORY}/shell/vmlinuz
    initrd: {POOL_DIRECTORY}/shell/initrd
    cmdline: console=ttyS0 quiet acpi=noirq
sites:
  lab: {{provider: libvirt, virt_type: qemu, pool: {POOL}, overcommit: {{cpus: 100}}}}
"""
    if nodes == 0:
        return f"{head}clusters: {{}}\n"
    return f"""\
{head}clusters:
  {name}:
    site: lab
    image: tiny
    readiness: {readiness}
    state: {state}
    frontend: {{cpus: 1, memory: 128 MiB}}
    computes: {{count: {nodes - 1}, cpus: 1, memory: 128 MiB}}
"""


def tiny_image(directory: Path) -> None:
    """Build the tiny guest of the test suite (a minute the first time), in a directory that the hypervisor can read."""
    cache = HERE.parent / ".cache" / "tiny"
    root = HERE.parent
    subprocess.run(
        [sys.executable, str(root / "tests" / "guest_images" / "tiny.py"), str(cache)],
        check=True,
        cwd=root,
        stdout=subprocess.DEVNULL,
    )
    directory.mkdir(mode=0o755)
    for name in ("disk.qcow2", "vmlinuz", "initrd"):
        shutil.copyfile(cache / name, directory / name)


def make_pool() -> None:
    """Create a storage pool, which is removed with its content at the end of the benchmark."""
    POOL_DIRECTORY.mkdir(mode=0o711)
    run(["virsh", "--quiet", "--connect", "qemu:///system", "pool-create-as", POOL, "dir", "--target", str(POOL_DIRECTORY)])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[3, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--until-ssh", type=int, nargs="*", default=[3], help="numbers of nodes for which to measure until ssh")
    return parser.parse_args()


if __name__ == "__main__":
    main()
