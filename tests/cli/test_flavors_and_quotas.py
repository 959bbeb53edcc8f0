"""Flavors and quotas from the command line, at a simulated site that pretends to be a cloud."""

from pathlib import Path
from shutil import copy, copytree

import pytest

from tests.cli.harness import CommandLine

EXAMPLES = Path(__file__).parents[2] / "examples" / "specs"
SMALL = "m1.small: {cpus: 1, memory: 1 GiB, disk: 10 GiB}"
MEDIUM = "m1.medium: {cpus: 2, memory: 4 GiB, disk: 20 GiB}"
LARGE = "m1.large: {cpus: 4, memory: 8 GiB, disk: 20 GiB}"


def cloud(*flavors: str, **more: str) -> dict[str, str]:
    return {"host": "{visible: false}", "flavors": "{" + ", ".join(flavors) + "}", **more}


def another_stack(cli: CommandLine, directory: Path, **settings: str) -> Path:
    """Write the spec of another stack at the same site."""
    file = cli.spec(0, cluster="world", **settings)
    other = directory / "other.yaml"
    other.write_text(file.read_text().replace("./", f"{file.parent}/"))
    return other


def test_nodes_keep_their_flavors_without_asking_the_site(cli: CommandLine) -> None:
    cli.spec(2, memory="2 GiB", site=cloud(SMALL, MEDIUM, LARGE))
    assert "m1.medium for 1 cpu, 2 GiB · 2 cpus · 4 GiB" in cli("plan").out
    cli("apply", "-y")
    facts = cli("show", "hello-compute-0").out
    assert "m1.medium for 1 cpu, 2 GiB" in facts
    assert "FLAVOR" in cli("list", "cluster", "hello").out
    (clusters,) = cli("list", "cluster", "--json").json["clusters"]
    node = clusters["nodes"][1]
    assert (node["flavor"], node["cpus"], node["memory_mib"]) == ("m1.medium", 2, 4096)
    assert node["requested"] == {"cpus": 1, "memory_mib": 2048, "disk_bytes": 0, "flavor": "", "devices": {}}
    refusing = "[{call: inventory, kind: refuse}]"
    cli.spec(2, memory="2 GiB", site=cloud(SMALL, faults=refusing))
    assert "No changes" in cli("plan").out, "although the flavor has vanished"
    cli.spec(3, memory="2 GiB", site=cloud(SMALL, faults=refusing))
    cli("plan", status=1)


def test_a_resize_is_a_reboot_and_the_guest_learns_the_real_size(cli: CommandLine) -> None:
    cli.spec(1, memory="3 GiB", site=cloud(SMALL, MEDIUM, LARGE))
    cli("apply", "-y")
    cli.spec(1, memory="6 GiB", site=cloud(SMALL, MEDIUM, LARGE))
    assert "flavor m1.medium → m1.large" in cli("plan").out
    cli("apply", "-y")
    assert "No changes" in cli("plan").out
    (clusters,) = cli("list", "cluster", "--json").json["clusters"]
    assert {(node["flavor"], node["cpus"]) for node in clusters["nodes"]} == {("m1.large", 4)}


def test_a_flavor_that_vanished_is_a_warning(cli: CommandLine) -> None:
    cli.spec(1, memory="2 GiB", site=cloud(SMALL, MEDIUM))
    cli("apply", "-y")
    cli.spec(2, memory="2 GiB", site=cloud(SMALL, LARGE))
    result = cli("plan")
    assert "no longer offers the flavor m1.medium of hello-frontend and hello-compute-0" in result.out + result.err
    assert "m1.large for 1 cpu, 2 GiB" in result.out
    cli("apply", "-y")
    cli("apply", "-y", "--replace", "hello-compute-0")
    (clusters,) = cli("list", "cluster", "--json").json["clusters"]
    assert [node["flavor"] for node in clusters["nodes"]] == ["m1.medium", "m1.large", "m1.large"]


def test_a_named_flavor_at_a_site_of_free_sizes_is_refused(cli: CommandLine) -> None:
    file = cli.spec(1)
    file.write_text(file.read_text().replace("frontend: {cpus: 1,", "frontend: {flavor: m1.small,"))
    error = cli("plan", status=1).err
    assert "The site has no flavors" in error
    assert "cluster.yaml:" in error


@pytest.mark.parametrize("kind", ["instances", "cores", "ports"])
def test_a_quota_that_another_stack_takes_meanwhile_refuses_the_apply_and_the_next_plan(
    cli: CommandLine, tmp_path: Path, kind: str
) -> None:
    site = cloud(SMALL, quotas=f"{{{kind}: 3}}")
    other = another_stack(cli, tmp_path, site=site)
    cli.spec(2, site=site, public="198.51.100.15", private="{vlan: 40}")
    cli("plan", "--out", "hello.plan")
    cli("apply", "-y", "--spec", str(other))
    failed = cli("apply", "-y", "hello.plan", status=5)
    assert "A quota is exceeded" in failed.out + failed.err
    refused = cli("plan", status=1).err
    assert f"Quota of {kind} exceeded" in refused
    assert "cluster world of stack" in " ".join(refused.split())
    cli("clean", "world", "--shutdown", "-y", "--spec", str(other))
    cli("apply", "-y")
    assert "No changes" in cli("plan").out


def test_removals_are_applied_first_where_a_quota_is_short(cli: CommandLine) -> None:
    site = cloud(SMALL, quotas="{instances: 4}")
    cli.spec(2, site=site)
    cli("apply", "-y")
    cli.spec(2, cluster="world", site=site)
    refused = " ".join(cli("plan", status=1).err.split())
    assert "`pragmaspec apply --target hello`" in refused
    cli("apply", "-y", "--target", "hello", "--allow", "data-loss")
    cli("apply", "-y")
    assert "No changes" in cli("plan").out


def test_list_site_shows_flavors_and_quotas(cli: CommandLine) -> None:
    cli.spec(1, site=cloud(SMALL, MEDIUM, quotas="{instances: 4, memory: 8 GiB}"))
    cli("apply", "-y")
    lines = [line.split() for line in cli("list", "site").out.splitlines()]
    assert ["instances", "4", "2", "2"] in lines
    assert ["memory", "8", "GiB", "2", "GiB", "6", "GiB"] in lines
    assert ["m1.medium", "2", "4", "GiB", "20", "GiB"] in lines
    (site,) = cli("list", "site", "--json").json["sites"]
    inventory = site["inventory"]
    assert inventory["reports_capacity"] is False
    assert [flavor["name"] for flavor in inventory["flavors"]] == ["m1.medium", "m1.small"]
    assert [(quota["kind"], quota["limit"], quota["used"]) for quota in inventory["quotas"]] == [
        ("instances", 4, 2),
        ("memory", 8192, 2048),
    ]


def test_the_example_of_a_cloud_is_applied_as_it_explains(cli: CommandLine) -> None:
    copytree(EXAMPLES / "files", cli.directory / "files")
    spec = str(copy(EXAMPLES / "cloud-simulated.yaml", cli.directory))
    assert cli("plan", "--spec", spec).out.count("m1.medium for 2 cpus, 3 GiB · 2 cpus · 4 GiB") == 4
    cli("apply", "-y", "--spec", spec)
    assert "No changes" in cli("plan", "--spec", spec).out
    lines = [line.split() for line in cli("list", "site", "--spec", spec).out.splitlines()]
    assert ["cores", "20", "10", "10"] in lines


def test_nodes_that_no_flavor_fits_are_no_quota_problem(cli: CommandLine) -> None:
    spec = cli.spec(1, site=cloud(SMALL, quotas="{cores: 4, instances: 1}"))
    spec.write_text(spec.read_text().replace("computes: {count: 1, cpus: 1", "computes: {count: 1, cpus: 100"))
    refused = cli("plan", status=1).err
    assert "No flavor fits" in refused
    assert "Quota" not in refused
    cli.spec(5, site=cloud(SMALL, quotas="{cores: 4}"))
    assert "Quota of cores exceeded" in cli("plan", status=1).err
