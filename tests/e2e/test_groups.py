"""A cluster with groups of nodes on a real hypervisor: images, order of boots, and changes of single groups."""

import json

import pytest

from tests.e2e.workspace import Workspace, domain

pytestmark = pytest.mark.guest

STORE = "store: {count: 1, memory: 192 MiB, machinefile: false, cpu: x86-64}"
V2 = {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}
V3 = {*V2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
"""Flags of the levels of x86-64 in /proc/cpuinfo."""


def write_spec(workspace: Workspace, gpus: int, memory: str = "192 MiB", cpu: str = "x86-64-v3") -> None:
    """Write a spec with a frontend, a compute, and two groups, of which ``gpu`` boots another image."""
    gpu = f"gpu: {{count: {gpus}, image: other, cpus: 2, memory: 192 MiB, cpu: {cpu}, overrides: {{0: {{memory: {memory}}}}}}}"
    workspace.spec(computes=1, groups=f"{{{gpu}, {STORE}}}")
    spec = workspace.directory / "cluster.yaml"
    text = spec.read_text()
    first = text[text.index("  tiny:\n") : text.index("sites:")]
    other = first.replace("  tiny:", "  other:").replace("quiet", "quiet group=gpu")
    text = text.replace("sites:\n", f"{other}sites:\n", 1)
    spec.write_text(text.replace("computes: {count: 1,", "computes: {count: 1, wait_for: store,"))


@pytest.fixture(scope="module")
def cluster(workspace: Workspace) -> Workspace:
    write_spec(workspace, gpus=1)
    workspace.run("apply", "cluster.yaml", "--auto-approve")
    return workspace


def on(cluster: Workspace, node: str, command: str) -> str:
    return cluster.run("ssh", node, "--", command).out


def test_three_kinds_of_nodes_are_made(cluster: Workspace) -> None:
    assert cluster.run("plan").out.startswith("No changes")
    assert list(cluster.nodes()) == ["trial-frontend", "trial-compute-0", "trial-gpu-0", "trial-store-0"]
    assert "group=gpu" in on(cluster, "trial-gpu-0", "cat /proc/cmdline")
    assert "group=gpu" not in on(cluster, "trial-store-0", "cat /proc/cmdline")
    assert on(cluster, "trial-gpu-0", "nproc").strip() == "2"


def test_guests_have_the_instructions_of_their_processors(cluster: Workspace) -> None:
    names = ("trial-frontend", "trial-compute-0", "trial-gpu-0", "trial-store-0")
    flags = [set(on(cluster, name, "grep ^flags /proc/cpuinfo").split()) for name in names]
    assert [each >= V2 for each in flags] == [True, True, True, False]
    assert [each >= V3 for each in flags] == [False, False, True, False]
    assert "avx" not in flags[0]
    assert not {"sse4_1", "sse4_2", "ssse3", "popcnt"} & flags[3]


def test_the_default_processor_is_pinned_and_an_impossible_one_is_refused(cluster: Workspace) -> None:
    assert '[sites.lab]\nprocessor = "x86-64-v2"\n' in (cluster.directory / "pragmaspec.lock").read_text()
    write_spec(cluster, gpus=1, cpu="x86-64-v4")
    refused = " ".join(cluster.run("plan", status=1).err.split())
    assert "trial-gpu-0 wants the processor x86-64-v4, which site lab cannot give." in refused
    assert "It can give x86-64, x86-64-v2, x86-64-v3, host" in refused
    write_spec(cluster, gpus=1)
    assert cluster.run("plan").out.startswith("No changes")


def test_every_node_knows_the_groups(cluster: Workspace) -> None:
    contract = json.loads(on(cluster, "trial-store-0", "cat /etc/pragmaspec/cluster.json"))
    assert contract["node"]["group"] == "store"
    assert [node["group"] for node in contract["nodes"]] == ["frontend", "compute", "gpu", "store"]
    assert on(cluster, "trial-gpu-0", "cat /etc/pragmaspec/machinefile") == "trial-compute-0 slots=1\ntrial-gpu-0 slots=2\n"
    assert on(cluster, "trial-compute-0", "ssh trial-gpu-0 hostname").strip() == "trial-gpu-0"


def test_a_group_grows_and_shrinks_alone(cluster: Workspace) -> None:
    before, running = cluster.nodes(), domain("trial-gpu-0").ID()
    write_spec(cluster, gpus=2)
    planned = cluster.json("plan")
    assert sorted((action["verb"], action["resource"]["name"]) for action in planned["actions"]) == [
        ("boot", "trial-gpu-1"),
        *(("update", name) for name in sorted(before)),
    ]
    cluster.run("apply", "--auto-approve", "--target", "trial-gpu-*")
    cluster.run("apply", "--auto-approve")
    grown = cluster.nodes()
    assert {name: grown[name] for name in before} == before
    assert domain("trial-gpu-0").ID() == running
    assert "trial-gpu-1" in on(cluster, "trial-store-0", "cat /etc/hosts")

    write_spec(cluster, gpus=1)
    cluster.run("apply", "--auto-approve", "--allow", "data-loss")
    assert cluster.nodes() == before
    assert cluster.run("plan").out.startswith("No changes")


def test_a_node_that_differs_is_changed_alone(cluster: Workspace) -> None:
    store = domain("trial-store-0").ID()
    write_spec(cluster, gpus=1, memory="256 MiB")
    assert [action["verb"] for action in cluster.json("plan")["actions"]] == ["shutdown", "boot"]
    cluster.run("apply", "--auto-approve")
    assert domain("trial-gpu-0").maxMemory() == 256 * 1024
    assert domain("trial-store-0").ID() == store
