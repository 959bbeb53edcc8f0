"""The processors of new nodes, from the lock file to the machines of a simulated site."""

import os

import pytest

from tests.cli.harness import CommandLine

ALL = "[x86-64, x86-64-v2, x86-64-v3, host]"
OLD = "[x86-64, host]"


def spec(cli: CommandLine, processors: str = ALL, *, computes: int = 1, name: str = "lab") -> None:
    """Write a spec whose site offers ``processors``."""
    path = cli.spec(computes, site={"processors": processors})
    path.write_text(path.read_text().replace("lab:", f"{name}:").replace("site: lab", f"site: {name}"))


def lock_file(cli: CommandLine) -> str:
    return (cli.directory / "pragmaspec.lock").read_text()


def recorded(cli: CommandLine) -> dict[str, str | None]:
    (cluster,) = cli("list", "cluster", "hello", "--json").json["clusters"]
    return {node["name"]: node["cpu"] for node in cluster["nodes"]}


def test_the_first_plan_pins_the_default(cli: CommandLine) -> None:
    spec(cli)
    assert "cpu x86-64-v2" in cli("plan").out
    assert lock_file(cli).endswith('[sites.lab]\nprocessor = "x86-64-v2"\n')
    cli("apply", "-y")
    assert recorded(cli) == {"hello-frontend": "x86-64-v2", "hello-compute-0": "x86-64-v2"}
    assert cli("plan").out.startswith("No changes")


def test_a_pin_decides_for_new_nodes_until_it_is_upgraded(cli: CommandLine) -> None:
    spec(cli, OLD)
    cli("apply", "-y")
    spec(cli, computes=2)
    assert "cpu x86-64 " in cli("plan").out, "the site's default is x86-64-v2 now"
    assert "lab   moved  x86-64 → x86-64-v2" in cli("lock", "--upgrade", "lab").out
    assert "cpu x86-64-v2" in cli("plan").out
    cli("apply", "-y")
    assert recorded(cli) == {"hello-frontend": "x86-64", "hello-compute-0": "x86-64", "hello-compute-1": "x86-64-v2"}
    assert cli("lock", "--json").json["processors"] == [
        {"site": "lab", "change": "same", "before": "x86-64-v2", "after": "x86-64-v2"}
    ]


def test_a_pin_that_the_site_cannot_give_is_a_plan_error(cli: CommandLine) -> None:
    spec(cli)
    cli("apply", "-y")
    spec(cli, OLD)
    assert cli("plan").out.startswith("No changes")
    spec(cli, OLD, computes=2)
    refused = " ".join(cli("plan", status=1).err.split())
    assert "pragmaspec.lock gives new nodes of site lab the processor x86-64-v2, which the site cannot give." in refused
    assert "It can give x86-64 and host." in refused
    assert "`pragmaspec lock --upgrade lab` pins x86-64 instead" in refused
    cli("lock", "--upgrade", "lab")
    assert "cpu x86-64 " in cli("plan").out


def test_a_locked_plan_warns_of_a_default_that_is_not_pinned(cli: CommandLine) -> None:
    spec(cli)
    cli("lock")
    planned = cli("plan", "--locked")
    shown = " ".join((planned.out + planned.err).split())
    assert "New nodes of site lab get its default, x86-64-v2, which pragmaspec.lock does not pin" in shown
    assert "sites" not in lock_file(cli)
    assert "lab   new   x86-64-v2" in cli("lock", "--upgrade", "lab").out
    assert "does not pin" not in "".join(cli("plan", "--locked")[1:])


def test_pins_of_sites_that_left_the_spec_are_removed(cli: CommandLine) -> None:
    spec(cli)
    cli("lock")
    cli("plan")
    spec(cli, name="hall")
    refused = " ".join(cli("plan", "--locked", status=1).err.split())
    assert "pragmaspec.lock has processors of sites that are not in the spec: lab. `pragmaspec lock` removes them." in refused
    assert "lab   removed  x86-64-v2" in cli("lock").out
    assert "sites" not in lock_file(cli)


def test_a_site_that_no_longer_reports_processors_loses_its_pin(cli: CommandLine) -> None:
    spec(cli)
    cli("plan")
    spec(cli, "[]")
    assert "`pragmaspec lock --upgrade lab` removes the pin" in " ".join(cli("plan", status=1).err.split())
    assert cli("lock", "--upgrade", "lab", "--json").json["processors"][0]["after"] is None
    assert "cpu x86" not in cli("plan").out
    assert cli("lock", "--upgrade", "lab", "--json").json["processors"] == []


def test_named_processors_are_not_pinned(cli: CommandLine) -> None:
    spec(cli)
    path = cli.directory / "cluster.yaml"
    path.write_text(path.read_text().replace("    site: lab\n", "    site: lab\n    cpu: host\n"))
    assert "cpu host" in cli("plan").out
    assert not (cli.directory / "pragmaspec.lock").exists()


def test_a_lock_file_that_cannot_be_written_is_a_warning(cli: CommandLine) -> None:
    spec(cli)
    (cli.directory / f".pragmaspec.lock.{os.getpid()}.part").mkdir()  # stops root too
    planned = cli("plan")
    assert "cpu x86-64-v2" in planned.out
    assert "Lock file not writable" in planned.out + planned.err


@pytest.mark.parametrize("name", ["tin", "la"])
def test_an_unknown_name_to_upgrade_is_refused(cli: CommandLine, name: str) -> None:
    spec(cli)
    refused = " ".join(cli("lock", "--upgrade", name, status=64).err.split())
    assert f"The spec has neither an image nor a site {name}. Did you mean" in refused
