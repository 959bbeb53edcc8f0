"""A cluster at a real OpenStack: compared with the same work as a script with openstacksdk (openstack_script.py), and API calls.

    python benchmarks/openstack_cloud.py [--nodes 8 16] [--rounds 3] [--counted 4] [--plans 5]

Requires root: it starts the OpenStack lab of the tests, which is built at the first time, or uses the one that is up in
``PRAGMASPEC_OPENSTACK_LAB``. Compares whole processes, in turns, in a project of its own, with the image already there. The
servers are in the lab's zone without guests (readiness: none), so that the time is that of the services. ``--counted``: a proxy
counts the calls of applies with this number of nodes, and with 4 more; ``--verbose`` prints them by method and path.
"""

import argparse
import os
import shutil
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from measure import Run, Runs, home_in, machine, pragmaspec, run, table, take_turns
from scratch import NAME, scratch

sys.path.insert(0, str(Path(__file__).parents[1]))
from openstack_project import LabProject

from tests.providers.openstack.proxy import CloudProxy

SCRIPT = Path(__file__).with_name("openstack_script.py")
MORE = 4
"""Nodes that are added to find the calls of one."""
SERVICES = ("identity", "compute", "network", "image")
LIST = "import openstack\nfor each in openstack.connect().compute.servers(): print(each.id, each.name, each.status)"
_SPEC = """\
images:
  small: {{source: disk.qcow2}}
sites:
  lab: {{provider: openstack, cloud: {cloud}, zones: fake}}
clusters: {clusters}
"""
_CLUSTER = """
  {name}:
    site: lab
    image: small
    readiness: none
    public: none
    frontend: {{flavor: tiny}}
    computes: {{count: {computes}, flavor: tiny}}
"""


class Calls(NamedTuple):
    """Numbers of requests. ``polls``: those that read servers; their number grows with the time, as look-ups share them."""

    all: int
    polls: int
    kinds: Mapping[tuple[str, str], int]
    """By method and path."""

    @property
    def others(self) -> int:
        return self.all - self.polls


class CountingProxy(CloudProxy):
    """Counts requests, and the polls among them."""

    polls = 0

    def pick(self, method: str, target: str) -> str | None:
        if method == "GET" and "/servers/" in target:
            with self._lock:
                self.polls += 1
        return super().pick(method, target)

    def restart(self) -> Calls:
        """Return the calls since the last restart, and count from the beginning."""
        counted = Calls(len(self.calls), self.polls, Counter(call.kind for call in self.calls))
        self.inject(lambda _: None)
        self.polls = 0
        return counted


class Stack:
    """A user's directory with a spec."""

    def __init__(self, directory: Path, clouds: Path, image: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.env = _environment(home_in(directory), clouds)
        shutil.copyfile(image, directory / "disk.qcow2")

    @contextmanager
    def cluster(self, name: str, nodes: int, clouds: Path | None = None) -> Iterator[Run]:
        """Plan a cluster of ``nodes``, yield its apply, and clean it. ``clouds``: of the apply."""
        self._write(_CLUSTER.format(name=name, computes=nodes - 1))
        self.pragmaspec("plan", "cluster.yaml")
        try:
            yield self.pragmaspec("apply", "cluster.yaml", "--auto-approve", clouds=clouds)
        finally:
            self._write("{}")
            self.pragmaspec("apply", "cluster.yaml", "--auto-approve", "--allow", "data-loss")

    def pragmaspec(self, *arguments: str, clouds: Path | None = None) -> Run:
        env = _environment(self.env, clouds) if clouds else self.env
        return run([pragmaspec(), *arguments], cwd=self.directory, env=env)

    def _write(self, clusters: str) -> None:
        (self.directory / "cluster.yaml").write_text(_SPEC.format(cloud=NAME, clusters=clusters))


class Bench(NamedTuple):
    """Everything that the measurements need. ``counted``: as ``clouds``, through the proxy."""

    project: LabProject
    stack: Stack
    image: str
    user_data: Path
    clouds: Path
    counted: Path

    def script_up(self, nodes: int, clouds: Path | None = None) -> Run:
        """Measure the script, and remove everything it created."""
        name = f"{NAME}-script"
        try:
            env = _environment(self.stack.env, clouds or self.clouds)
            return run([sys.executable, str(SCRIPT), name, str(nodes), self.image, str(self.user_data)], env=env)
        finally:
            self.project.remove_objects(name)


def main() -> None:
    arguments = _arguments()
    print(machine())
    project = LabProject()
    with scratch(remove=project.close) as directory:
        project.open()
        clouds, counted = directory / "clouds.yaml", directory / "counted.yaml"
        project.write_clouds(clouds, project.lab.auth_url)
        image = new_image(directory)
        keeper = Stack(directory / "keeper", clouds, image)
        with keeper.cluster(f"{NAME}-keeper", 1):
            (server,) = project.servers(f"{NAME}-keeper")
            (directory / "user-data").write_bytes(b64decode(server.user_data))
            stack = Stack(directory / "bench", clouds, image)
            bench = Bench(project, stack, server.image.id, directory / "user-data", clouds, counted)
            for nodes in arguments.nodes:
                print(compared(bench, nodes, arguments), end="\n\n", flush=True)
            print(table(("API calls", "all", "polls", "others"), calls(bench, arguments)))
        print(f"load {os.getloadavg()[0]:.1f} at the end")


def compared(bench: Bench, nodes: int, arguments: argparse.Namespace) -> str:
    """Run both candidates in turns, then a plan without changes beside lists of the same servers. Return a table."""
    script, ours = [], []
    for number in range(arguments.rounds):
        script.append(bench.script_up(nodes))
        with bench.stack.cluster(f"{NAME}-ours", nodes) as applied:
            ours.append(applied)
            if number == arguments.rounds - 1:
                lists = take_turns(listing_commands(), arguments.plans, cwd=bench.stack.directory, env=bench.stack.env)
    brought = {"script with openstacksdk": Runs(tuple(script)), "pragmaspec apply": Runs(tuple(ours))}
    rows = [
        (f"{nodes} servers, {name}", f"{each.fastest_s:.2f}", f"{each.median_s:.2f}", f"{each.fastest_s / base.fastest_s:.2f}")
        for runs in (brought, lists)
        for base in (next(iter(runs.values())),)
        for name, each in runs.items()
    ]
    return table(("", "fastest s", "median s", "x first"), rows)


def listing_commands() -> dict[str, list[str]]:
    """Return commands that read all servers. A plan with changes fails, because of its exit status."""
    commands = {
        "list with openstacksdk": [sys.executable, "-c", LIST],
        "pragmaspec plan, no changes": [pragmaspec(), "plan", "cluster.yaml", "--detailed-exitcode"],
    }
    client = shutil.which("openstack")
    return commands if client is None else {**commands, "openstack server list": [client, "server", "list"]}


def calls(bench: Bench, arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """Count the calls of the script, of applies and of plans without changes, with ``nodes`` and with MORE nodes more."""
    nodes = arguments.counted
    addresses = {name: urlsplit(url) for name, url in bench.project.addresses(SERVICES).items()}
    found: dict[str, Calls] = {}
    with CountingProxy({name: f"{url.scheme}://{url.netloc}" for name, url in addresses.items()}) as proxy:
        bench.project.write_clouds(bench.counted, f"{proxy.url}/identity/v3")
        for number in (nodes, nodes + MORE):
            proxy.restart()
            bench.script_up(number, bench.counted)
            found[f"script, {number} servers"] = proxy.restart()
        for number in (nodes, nodes + MORE):
            proxy.restart()
            with bench.stack.cluster(f"{NAME}-ours", number, bench.counted):
                found[f"pragmaspec apply, {number} servers"] = proxy.restart()
                bench.stack.pragmaspec("plan", "cluster.yaml", "--detailed-exitcode", clouds=bench.counted)
                found[f"pragmaspec plan, {number} servers"] = proxy.restart()
    if arguments.verbose:
        kinds = [(f"{name}: {' '.join(kind)}", str(n)) for name, each in found.items() for kind, n in each.kinds.items()]
        print(table(("", "calls"), kinds), end="\n\n")
    counted = [(name, str(each.all), str(each.polls), str(each.others)) for name, each in found.items()]
    for name in ("script", "pragmaspec apply"):
        few, many = (found[f"{name}, {number} servers"].others for number in (nodes, nodes + MORE))
        each = (many - few) / MORE
        counted += [(f"{name}, per server", "", "", f"{each:.1f}"), (f"{name}, constant", "", "", f"{few - nodes * each:.0f}")]
    return counted


def new_image(directory: Path) -> Path:
    """Create a small image that no other user of the lab has."""
    (directory / "disk.raw").write_bytes(os.urandom(512).ljust(2**20, b"\0"))
    image = directory / "disk.qcow2"
    run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(directory / "disk.raw"), str(image)])
    return image


def _environment(env: Mapping[str, str], clouds: Path) -> dict[str, str]:
    kept = {name: value for name, value in env.items() if not name.startswith("OS_")}
    return {**kept, "OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": NAME}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counted", type=int, default=4)
    parser.add_argument("--plans", type=int, default=5, help="rounds of plans without changes and of lists")
    parser.add_argument("--verbose", action="store_true", help="print the calls by method and path")
    return parser.parse_args()


if __name__ == "__main__":
    main()
