"""Applies that tests may kill: each in its own process, forked from one with all modules loaded.

``python -m tests.engine.subprocess_apply`` reads one JSON order per line from stdin, runs each in a child, and writes its result:
``{"status": <from os.waitpid>, "answer": <the result of the child>}``.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

import pragmaspec.guest.cloud_init.limited
import pragmaspec.guest.cloud_init.seed  # noqa: F401 - loaded once, before the forks
from pragmaspec import failpoints
from pragmaspec.access.ssh import SshClient
from pragmaspec.engine.apply import apply_plan
from pragmaspec.engine.context import ApplyContext
from pragmaspec.guest.keys import StackKey
from pragmaspec.images.reporter import ImageFiles
from pragmaspec.planning.observed import Observations
from pragmaspec.planning.planner import make_plan, sites_needing_inventory
from pragmaspec.planning.request import PlanRequest
from pragmaspec.planning.wanted import Wanted, WantedCluster, WantedDisk, WantedImage, WantedNodes, WantedPublic
from pragmaspec.providers.base import Provider
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import Allocation, Blob, Node, Readiness, StagedImage, Volume
from pragmaspec.site import SimulatedSite, Site
from pragmaspec.state_model import Record, State
from tests.state.local_store import LocalStore

LINEAGE = "5ca1ab1e-0000-4000-8000-00000000000{}"
REQUEST = PlanRequest(accept_missing=True)
KEY = StackKey(b"k" * 32)

SPECS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "alone": {"keys": ("ada",), "public": "none"},
    "pair": {"computes": 1, "keys": ("ada",)},
    "larger": {"computes": 3, "keys": ("ada", "grace"), "cpus": 2},
    "small": {"computes": 2, "keys": ("ada",)},
    "changed": {"computes": 1, "keys": ("ada", "grace"), "cpus": 2},
    "off": {"computes": 2, "keys": ("ada",), "running": False},
    "disks": {"computes": 1, "keys": ("ada",), "disks": (("scratch", 2**21), ("home", 2**20))},
    "told": {"computes": 16, "keys": ("ada",), "readiness": "cloud-init"},
    "other disks": {"computes": 1, "keys": ("ada",), "disks": (("fast", 2**20), ("home", 2**21))},
}
"""Specs by name. From "small" to "changed": one node is removed, one is rebooted larger, one has its keys updated."""


def wanted(site: Site, spec: str, directory: Path) -> Wanted:
    values = SPECS[spec]
    blob = msgspec.json.decode((directory / "image.json").read_bytes(), type=Blob)
    image = WantedImage(
        name="small", origin="test", digest=blob.sha256, format="raw", disk=blob, virtual_size_bytes=blob.size_bytes
    )
    nodes = WantedNodes(count=1, cpus=1, memory_mib=128, image="small")
    disks = tuple(WantedDisk(name=name, size_bytes=size, keep=name == "home") for name, size in values.get("disks", ()))
    cluster = WantedCluster(
        name="hello",
        site=site.name,
        frontend=msgspec.structs.replace(nodes, disks=disks),
        computes=msgspec.structs.replace(nodes, count=values.get("computes", 0), cpus=values.get("cpus", 1)),
        ssh_keys=values.get("keys", ()),
        public=WantedPublic(kind=values.get("public", "pool")),
        readiness=Readiness(when=values.get("readiness", "none")),
        running=values.get("running", True),
    )
    return Wanted(
        spec_file="cluster.yaml",
        spec_sha256=f"{spec:x>64}",
        sites=(site,),
        images=(image,),
        clusters=(cluster,) if values else (),
    )


def apply(directory: Path, site: Site, spec: str, failpoint: str, lineage: str) -> dict[str, Any]:
    """Plan and apply with a failpoint armed, and return the report."""
    os.environ["XDG_STATE_HOME"] = str(directory / "xdg-state")
    target, provider = wanted(site, spec, directory), open_provider(site)
    store = LocalStore(directory / "state")
    with store.session("test", lineage) as session:
        state = session.state
        inventories = {name: provider.inventory() for name in sites_needing_inventory(target, state, REQUEST)}
        plan = make_plan(target, state, {site.name: provider.observe(lineage)}, inventories, REQUEST)
        context = ApplyContext(
            session=session,
            providers={site.name: provider},
            wanted=target,
            files=lambda image: ImageFiles(disk=directory / "disk.raw"),
            stack_key=KEY,
            remote=SshClient(lineage, KEY, directory / "ssh"),
            shutdown_grace_s=0.0,
        )
        failpoints.arm(failpoint)
        apply_plan(plan, context)
        failpoints.arm("")
    left = make_plan(target, store.read(), {site.name: provider.observe(lineage)}, {site.name: provider.inventory()}, REQUEST)
    return {**report(store.read(), provider, site, lineage), "left": [action.key for action in left.actions]}


def report(state: State, provider: Provider, site: Site, lineage: str) -> dict[str, Any]:
    """The recorded and the observed resources, in the same format."""
    seen = provider.observe(lineage)
    records = {record.original_address: record for record in state.records}
    nodes = {node.address: f"{node.status} {node.cpus} {node.generation}" for node in seen.nodes}
    recorded = {
        address: f"{'running' if record.resource.running else 'off'} {record.resource.cpus} {record.generation}"
        for address, record in records.items()
        if hasattr(record.resource, "running")
    }
    return {
        "recorded": recorded,
        "observed": nodes,
        "allocations": [
            [address for address, record in records.items() if hasattr(record.resource, "networks")],
            [granted.address for granted in seen.allocations],
        ],
        "volumes": [
            sorted(
                (address, record.resource.size_bytes)
                for address, record in records.items()
                if isinstance(record.resource, Volume)
            ),
            sorted((volume.address, volume.size_bytes) for volume in seen.volumes),
        ],
        "disks": [
            sorted(
                (record.resource.name, disk.name, disk.size_bytes)
                for record in records.values()
                if isinstance(record.resource, Node)
                for disk in record.resource.own_disks
            ),
            sorted((node.address.rpartition("/")[2], disk.name, disk.size_bytes) for node in seen.nodes for disk in node.disks),
        ],
        "values": [values_of(records), values_at(seen)],
        "images": [
            [record.resource.digest for record in records.values() if isinstance(record.resource, StagedImage)],
            list(seen.images),
        ],
        "statuses": sorted({record.status for record in records.values()}),
        "told": machines_told(site, state),
        "ops": len({record.op for record in records.values()}) == len(records),
    }


def values_of(records: dict[str, Record]) -> list[object]:
    """The recorded MACs, private and public addresses."""
    nodes = {address: record.resource for address, record in records.items() if isinstance(record.resource, Node)}
    grants = [record.resource.public for record in records.values() if isinstance(record.resource, Allocation)]
    interfaces = sorted(
        (address, nic.network, nic.mac, "" if nic.network == "public" else nic.address)
        for address, node in nodes.items()
        for nic in node.nics
    )
    public = sorted(nic.address for node in nodes.values() for nic in node.nics if nic.network == "public")
    return [interfaces, sorted(grant.address for public in grants for grant in public), public]


def values_at(seen: Observations) -> list[object]:
    """The same at a site that chooses them."""
    interfaces = sorted((node.address, each.network, each.mac, each.address) for node in seen.nodes for each in node.interfaces)
    public = sorted(address for allocation in seen.allocations for address in allocation.public)
    return [interfaces, public, public]


def machines_told(site: Site, state: State) -> dict[str, tuple[int, bool]]:
    """The size of each simulated machine's user-data, and whether its guest has received the recorded members over ssh."""
    if not isinstance(site, SimulatedSite) or site.user_data_limit is None or site.file is None:
        return {}
    lines = map(json.loads, Path(site.file).read_text(encoding="utf-8").splitlines())
    machines = {line["address"]: line for line in lines if line["kind"] == "machine"}
    return {
        node.address: (machines[node.address]["user_data_bytes"], machines[node.address].get("received") == node.peers)
        for node in state.nodes()
    }


def serve() -> None:
    """Run orders until stdin ends."""
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _run_in_child(order, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as answers:
            answer = answers.read()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"status": status, "answer": json.loads(answer) if answer else None}) + "\n")
        sys.stdout.flush()


def apply_order(order: dict[str, Any]) -> dict[str, Any]:
    """:func:`apply`, with its arguments from JSON."""
    site = msgspec.convert(order["site"], Site)
    return apply(Path(order["directory"]), site, order["spec"], order["failpoint"], order["lineage"])


def _run_in_child(order: dict[str, Any], answers: int) -> None:
    """Run one order in the child; never returns."""
    try:
        os.write(answers, json.dumps(apply_order(order)).encode())
    except BaseException:  # noqa: BLE001 - every error is sent to the parent
        os.write(answers, json.dumps({"error": traceback.format_exc()}).encode())
    finally:
        os._exit(0)


class SubprocessApply:
    """The forking process. ``with SubprocessApply() as applies: applies.apply(...)``."""

    def __enter__(self) -> Self:
        # Its own process: a test run may have threads, which do not survive a fork.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.subprocess_apply"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate()

    def apply(self, directory: Path, site: Site, spec: str, failpoint: str = "", lineage: str = "") -> dict[str, Any] | None:
        """The report of an apply, or None if it was killed."""
        order = {
            "directory": str(directory),
            "site": msgspec.to_builtins(site),
            "spec": spec,
            "failpoint": failpoint,
            "lineage": lineage or LINEAGE.format(0),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        if os.WIFSIGNALED(reply["status"]):
            assert os.WTERMSIG(reply["status"]) == signal.SIGKILL
            return None
        assert "error" not in reply["answer"], reply["answer"]["error"]
        return reply["answer"]

    def values(self, directory: Path, site: Site) -> list[list[str]]:
        """The interfaces of the machines at a simulated site."""
        seen = open_provider(site).observe(LINEAGE.format(0))
        return json.loads(json.dumps(values_at(seen)))[0]


if __name__ == "__main__":
    serve()
