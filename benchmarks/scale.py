"""Ten thousand nodes at a simulated site: plan, apply and plan again with the installed command; and the provider alone.

python benchmarks/scale.py [--nodes 10000] [--clusters 10] [--rounds 3]
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import Runs, home_in, machine, pragmaspec, run, table, take_turns
from scratch import scratch

from pragmaspec.images.reporter import ImageFiles
from pragmaspec.providers.base import BootRequest, Provider, StageRequest
from pragmaspec.providers.registry import open_provider
from pragmaspec.resources import Allocation, Blob, Mark, Network, Nic, Node, StagedImage
from pragmaspec.site import SimulatedHost, SimulatedSite

NODE_MIB = 512
"""Memory per node: a host with 100,000 of them is within the limit of a spec."""
LINEAGE = "3f9a1c2b-0000-4000-8000-000000000001"


def main() -> None:
    arguments = _arguments()
    print(machine())
    print(f"{arguments.nodes} nodes in {arguments.clusters} clusters\n")
    with scratch() as folder:
        print(table(("the command", "fastest s", "median s", "nodes/s", "peak MiB"), command_rows(folder, arguments)))
        print()
        print(table(("the provider alone", "s", "nodes/s"), provider_rows(folder, arguments.nodes)))


def command_rows(directory: Path, arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    env = home_in(directory)
    (directory / "cluster.yaml").write_text(spec_text(arguments.nodes, arguments.clusters))
    (directory / "blank.raw").write_bytes(bytes(2**20))
    plan, apply = [pragmaspec(), "plan", "cluster.yaml"], [pragmaspec(), "apply", "cluster.yaml", "--auto-approve"]
    first = take_turns({"plan": plan}, arguments.rounds, cwd=directory, env=env)["plan"]
    applied = Runs((run(apply, cwd=directory, env=env),))
    again = take_turns({"plan": plan, "json": [*plan, "--json"]}, arguments.rounds, cwd=directory, env=env)
    for words in ("no changes", "nothing to do"):
        if words in again["plan"].all[0].output.lower():
            break
    else:
        print(f"Warning: the second plan was not empty:\n{again['plan'].all[0].output[:2000]}")
    named = {
        "plan, everything new": first,
        "apply": applied,
        "plan, no changes": again["plan"],
        "plan --json, no changes": again["json"],
    }
    return [
        (
            name,
            f"{runs.fastest_s:.2f}",
            f"{runs.median_s:.2f}",
            f"{arguments.nodes / runs.fastest_s:.0f}",
            f"{runs.memory_mib:.0f}",
        )
        for name, runs in named.items()
    ]


def spec_text(nodes: int, clusters: int) -> str:
    """Return a spec of ``nodes`` nodes, including frontends, in equal clusters."""
    head = f"""\
images:
  blank: {{source: ./blank.raw, format: raw, kernel: ./blank.raw}}
sites:
  lab:
    provider: simulated
    file: ./lab.jsonl
    host: {{cpus: {nodes}, memory: {nodes * NODE_MIB} MiB, disk: {nodes} GiB}}
    public: {{network: public, prefix: 15, gateway: 198.18.0.1, addresses: [198.18.0.10-198.18.255.250]}}
    vlans: [20-4000]
    parallel: 16
clusters:
"""
    size = f"memory: {NODE_MIB} MiB"
    computes = f"{{count: {nodes // clusters - 1}, {size}}}"
    each = f"{{site: lab, image: blank, readiness: none, frontend: {{{size}}}, computes: {computes}}}"
    return head + "".join(f"  c{number}: {each}\n" for number in range(clusters))


def provider_rows(directory: Path, nodes: int) -> list[tuple[str, ...]]:
    rows = []
    for name, file in (("in memory", ":memory:"), ("in a file", str(directory / "alone.jsonl"))):
        site = SimulatedSite(
            name="alone", file=file, host=SimulatedHost(cpus=nodes, memory_mib=nodes * 1024, disk_bytes=nodes * 2**30)
        )
        provider = open_provider(site)
        orders = prepared(provider, nodes)
        for threads in (1, 8):
            seconds = booted_in(provider, orders, threads)
            rows.append((f"{name}: boot, {threads} threads", f"{seconds:.2f}", f"{nodes / seconds:.0f}"))
        start = time.perf_counter()
        assert len(provider.observe(LINEAGE).nodes) == nodes
        rows.append((f"{name}: observe", f"{time.perf_counter() - start:.3f}", ""))
        start = time.perf_counter()
        provider.inventory()
        rows.append((f"{name}: inventory", f"{time.perf_counter() - start:.3f}", ""))
        provider.close()
        start = time.perf_counter()
        open_provider(site).observe(LINEAGE)
        rows.append((f"{name}: open again and observe", f"{time.perf_counter() - start:.3f}", ""))
    return rows


def booted_in(provider: Provider, orders: list[BootRequest], threads: int) -> float:
    """Clean all nodes, and return the seconds to boot them."""
    for order in orders:
        provider.clean(order.node, order.mark)
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(provider.boot, orders, chunksize=1))
        return time.perf_counter() - start


def prepared(provider: Provider, nodes: int) -> list[BootRequest]:
    """Create an allocation and an image at the site, and return a request for each node."""
    allocation = Allocation(site="alone", cluster="c", networks=(Network(name="private", cidr="10.0.0.0/8", vlan=20),))
    blob = Blob(sha256="ab" * 32, size_bytes=2**20)
    image = StagedImage(site="alone", digest=blob.sha256, name="blank", format="raw", disk=blob, virtual_size_bytes=2**20)
    provider.allocate(allocation, Mark(lineage=LINEAGE, address=allocation.address))
    provider.stage(StageRequest(image, Mark(lineage=LINEAGE, address=image.address), lambda: ImageFiles(disk=Path())))
    return [_order(index, allocation, image) for index in range(nodes)]


def _order(index: int, allocation: Allocation, image: StagedImage) -> BootRequest:
    address = f"10.{index // 65536}.{index // 256 % 256}.{index % 256}"
    node = Node(
        site="alone",
        cluster="c",
        name=f"c-compute-{index}",
        role="compute",
        index=index,
        cpus=1,
        memory_mib=1024,
        disk_bytes=2**20,
        image=image.digest,
        nics=(
            Nic(
                network="private",
                mac=f"52:54:00:{index // 65536:02x}:{index // 256 % 256:02x}:{index % 256:02x}",
                address=address,
                prefix=8,
            ),
        ),
    )
    return BootRequest(node=node, allocation=allocation, image=image, mark=Mark(lineage=LINEAGE, address=node.address), seed=b"")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
