"""Commands that change no site."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.cli.harness import CommandLine


def test_list_cluster(cli: CommandLine) -> None:
    cli.running()
    lines = cli("list", "cluster").out.splitlines()
    assert lines[0].split() == ["CLUSTER", "STATUS", "READY", "CPUS", "MEMORY", "PUBLIC", "VLAN", "PRIVATE", "SITE"]
    assert lines[1].split()[:3] == ["hello", "ready", "3/3"]
    named = cli("list", "cluster", "hello").out
    assert "hello-compute-1  ready" in named
    found = cli("list", "cluster", "hello", "--json").json["clusters"][0]["nodes"]
    assert [node["name"] for node in found] == ["hello-frontend", "hello-compute-0", "hello-compute-1"]
    assert found[1]["addresses"] == {"private": "10.20.0.10"}
    assert "Recorded clusters: hello" in cli("list", "cluster", "helo", status=64).err


def test_list_without_a_recorded_state(cli: CommandLine) -> None:
    cli.spec()
    assert "pragmaspec apply" in cli("list", "cluster").out
    assert "Recorded clusters: none" in cli("list", "cluster", "hello", status=64).err
    assert "No nodes" in cli("status").out


def test_list_repository(cli: CommandLine) -> None:
    cli.running()
    line = cli("list", "repository").out.splitlines()[1]
    assert line.split()[0] == "tiny"
    assert line.endswith("lab")
    (image,) = cli("list", "repository", "--json").json["images"]
    assert (image["sites"], len(image["digest"])) == (["lab"], 64)
    spec = cli.spec()
    spec.write_text(spec.read_text().partition("clusters:")[0].replace("images:", "images: {} #") + "clusters: {}\n")
    assert "no longer in the spec" in cli("list", "repository").out


def test_list_site(cli: CommandLine) -> None:
    cli.running()
    result = cli("list", "site").out
    assert "hello-frontend" in result
    assert "198.51.100.10" in result
    assert cli("list", "site", "lab").out == result
    assert cli("list", "site", "--json").json["sites"][0]["inventory"]["vlans"][0]["value"] == "20"
    assert "Known sites: lab" in cli("list", "site", "lob", status=64).err


def test_an_unreachable_site_does_not_hide_the_others(cli: CommandLine) -> None:
    cli.spec(site={"faults": "[{call: inventory, kind: refuse}]"})
    assert "lab" in cli("list", "site", status=1).out
    assert cli("list", "site", "--json", status=1).json["sites"][0]["trouble"]


def test_show(cli: CommandLine) -> None:
    cli.running()
    assert "10.20.0.10/" in cli("show", "hello-compute-0").out
    assert cli("show", "lab/hello/node/hello-compute-0").out == cli("show", "hello-compute-0").out
    assert "vlan 20" in cli("show", "hello").out
    assert cli("show", "tiny", "--json").json["record"]["kind"] == "image"
    assert "No such address" in cli("show", "hello-compute-7", status=64).err


def test_show_lists_the_candidates_of_an_ambiguous_name(cli: CommandLine) -> None:
    cli.running(cluster="tiny")
    assert "lab/tiny/allocation" in cli("show", "tiny", status=64).err


def test_status(cli: CommandLine) -> None:
    cli.running()
    assert "No drift (lab observed in" in cli("status").out
    cli("status", "--detailed-exitcode")
    (cli.directory / "site.json").unlink()
    assert "gone" in cli("status", "--detailed-exitcode", status=2).out
    assert {node["observed"] for node in cli("status", "--json").json["nodes"]} == {"gone"}


def test_status_does_not_read_the_spec(cli: CommandLine) -> None:
    cli.running()
    (cli.directory / "cluster.yaml").write_text("clusters: [")
    assert "No drift" in cli("status").out


def test_ssh_config_and_inventory(cli: CommandLine) -> None:
    cli.running()
    config = cli("ssh-config").out
    assert "Host hello-compute-1\n" in config
    assert "ProxyJump hello-frontend" in config
    path = cli("ssh-config", "--path").out.strip()
    assert path.endswith("/config")
    listed = json.loads(cli("inventory", "--list").out)
    assert path in listed["_meta"]["hostvars"]["hello-frontend"]["ansible_ssh_common_args"]
    assert json.loads(cli("inventory", "--host", "hello-frontend").out) == listed["_meta"]["hostvars"]["hello-frontend"]


def _graph(cli: CommandLine, inventory: str) -> set[str]:
    """The lines of ``ansible-inventory --graph``, whose order is undefined."""
    command = [sys.executable, "-m", "ansible", "inventory", "-i", inventory, "--graph"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=cli.directory, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.splitlines())


def test_ansible_accepts_the_inventory_file_and_script(cli: CommandLine) -> None:
    cli.running()
    (cli.directory / "hosts.yaml").write_text(cli("inventory").out)
    (cli.directory / "hosts.json").write_text(cli("inventory", "--json").out)
    command = " ".join(map(shlex.quote, cli.command("inventory", "--spec", f"{cli.directory}/cluster.yaml")))
    (cli.directory / "nodes").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    (cli.directory / "nodes").chmod(0o755)
    graph = _graph(cli, "hosts.yaml")
    assert graph == _graph(cli, "hosts.json") == _graph(cli, "./nodes")
    assert {"  |--@hello:", "  |  |--@hello__computes:", "  |  |  |--hello-compute-1", "  |--@lab__site:"} <= graph


def test_inventory_warns_about_unreachable_nodes(cli: CommandLine) -> None:
    cli.spec()
    before = cli("inventory")
    assert "apply` creates the nodes" in before.err
    assert "hosts: {}" in before.out
    assert "Nothing is recorded yet" in cli("ssh-config", status=64).err
    cli.running()
    cli("shutdown", "hello", "--auto-approve")
    assert "`pragmaspec boot hello` starts them" in cli("inventory", "--list").err
    cli("clean", "hello", "--auto-approve")
    cli.running(public="none", readiness="none")
    result = cli("inventory", "--list")
    assert "left out: hello-frontend, hello-compute-0, hello-compute-1." in result.err
    assert json.loads(result.out)["_meta"] == {"hostvars": {}}


def test_inventory_suggests_similar_host_names(cli: CommandLine) -> None:
    cli.running()
    result = cli("inventory", "--host", "hello-fronted")
    assert json.loads(result.out) == {}
    assert "Did you mean hello-frontend" in result.err
    assert "are mutually exclusive" in cli("inventory", "--list", "--host", "hello-frontend", status=64).err


def test_ssh_to_an_unknown_node_is_refused(cli: CommandLine) -> None:
    cli.running()
    assert "Did you mean hello-compute-1" in cli("ssh", "hello-compute-l", "--", "true", status=64).err
    assert "No such node" in cli("console", "nobody", status=64).err


def test_ssh_passes_the_remaining_arguments_to_the_node(cli: CommandLine) -> None:
    cli.running(public="none", readiness="none")
    assert "Unreachable node" in cli("ssh", "hello-frontend", "ls", "-l", status=1).err


def test_console(cli: CommandLine) -> None:
    cli.running()
    logged = cli.process("console", "hello-frontend", "--log")
    assert logged.status == 0
    assert "Linux version" in logged.out
    assert "A console needs a terminal" in cli("console", "hello-frontend", status=1).err


def test_validate(cli: CommandLine) -> None:
    cli.spec()
    assert cli("validate").out == "cluster.yaml is valid: 1 cluster, 3 nodes, 1 site, 1 image.\n"
    assert cli("validate", "--json").json == {
        "kind": "validation",
        "format": 1,
        "spec": "cluster.yaml",
        "clusters": 1,
        "nodes": 3,
        "sites": 1,
        "images": 1,
        "warnings": [],
    }
    assert "There is no nowhere.yaml" in cli("validate", "nowhere.yaml", status=64).err


def test_validate_checks_every_file_and_name_used_by_images(cli: CommandLine) -> None:
    folder = cli.directory
    (folder / "kernel").mkdir()
    (folder / "disk.raw").write_bytes(b"")
    (folder / "cluster.yaml").write_text(
        """\
images:
  missing: {source: ./missing.raw, kernel: ./kernel, initrd: ./disk.raw}
  far: {source: "https://images.example.org/a.qcow2", sha256: SHA, kernel: ./gone}
  built: {build: {debian: bookworm, keyring: ./gone.gpg}}
  named: {catalogue: debian-13x}
  known: {catalogue: debian-12}
  cloned: {clonezilla: ./2026-11-01-img}
  burnt: {clonezilla: ./gone.ISO}
  elsewhere: {clonezilla: "https://images.example.org/2026-11-01-img"}
  old: {pragma: {repository: ./repository, cluster: centos7}}
  summed: {source: "https://images.example.org/a.qcow2", sums: {url: "https://images.example.org/SHA256SUMS"}}
clusters: {one: {site: lab, image: missing, computes: many}}
""".replace("SHA", "0" * 64)
    )
    result = cli("validate", "--json", status=1).json["problems"]
    assert [(problem["summary"], problem["detail"].partition(". ")[0]) for problem in result] == [
        ("File not found", "There is no missing.raw"),
        ("File not readable", "kernel cannot be read: it is a directory, not a regular file."),
        ("File not found", "There is no gone"),
        ("File not found", "There is no gone.gpg"),
        ("Unknown catalogue name", "There is no image debian-13x in the catalogue"),
        ("Directory not found", "There is no directory 2026-11-01-img"),
        ("File not found", "There is no gone.ISO"),
        ("Directory not found", "There is no directory repository"),
        ("Unknown site", "There is no site `lab`"),
        ("Not a mapping", "`many` is not valid here"),
    ]
    assert "Did you mean debian-13?" in result[4]["detail"]


@pytest.mark.parametrize("arguments", [(), ("--sites",)])
def test_schema(cli: CommandLine, arguments: tuple[str, ...]) -> None:
    assert cli("schema", *arguments).json["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_init_writes_a_valid_simulated_spec(cli: CommandLine) -> None:
    result = cli("init", "--simulated").out
    assert "wrote  cluster.yaml" in result
    assert "wrote  blank.raw" in result
    assert "pragmaspec plan" in result
    assert cli("validate").out.startswith("cluster.yaml is valid")
    assert "1 to stage (2 MiB to transfer), 1 to allocate, 3 to boot" in cli("plan").out
    cli("apply", "--auto-approve")
    assert "No changes" in cli("plan").out
    assert {"simulated-site.jsonl", "plan.json"} <= set((cli.directory / ".gitignore").read_text().splitlines())
    (cli.directory / "cluster.yaml").write_text("# mine\n")
    assert "kept   cluster.yaml  (exists)" in cli("init").out
    assert (cli.directory / "cluster.yaml").read_text() == "# mine\n"


def test_init_in_another_directory_for_libvirt(cli: CommandLine) -> None:
    result = cli("init", "new/place").out
    assert "Next: cd new/place && pragmaspec plan" in result
    assert "ssh-keygen" not in result
    assert "provider: libvirt" in (cli.directory / "new/place/cluster.yaml").read_text()
    ignored = (cli.directory / "new/place/.gitignore").read_text().splitlines()
    assert {"state/*/.lock", "state/*/journal.*", "state/*/backups/", "state/*/spill.*", "state/*/*.tmp"} <= set(ignored)


def test_init_refuses_an_unwritable_directory(cli: CommandLine) -> None:
    (cli.directory / "file").write_text("")
    assert "cannot be written" in cli("init", "file/below", status=1).err


def test_user_data_is_validated_before_planning(cli: CommandLine) -> None:
    cli.spec(user_data="{runcmdd: [x], hostname: y}")
    for command in ("validate", "plan", "plan"):
        result = cli(command)
        assert "warning: Unknown key in user-data\n  cluster.yaml:13:17\n" in result.err
        assert "Did you mean `runcmd`?" in result.err
        assert result.err.endswith("2 warnings.\n\n")
    assert cli("validate").out.startswith("cluster.yaml is valid, with 2 warnings: ")
    assert [each["severity"] for each in cli("validate", "--json").json["warnings"]] == ["warning"] * 2
    assert [each["where"]["line"] for each in cli("plan", "--json").json["warnings"]] == [13, 13]
    cli.spec(user_data="{runcmd: 3, hostname: y}")
    refused = cli("plan", status=1)
    assert "cloud-init expects a list in `runcmd`" in refused.err
    assert refused.err.endswith("1 error and 1 warning.\n")


def test_power_commands_do_not_repeat_the_warnings_of_the_spec(cli: CommandLine) -> None:
    cli.spec(user_data="{runcmdd: [x]}")
    assert "warning: Unknown key" in cli("apply", "--auto-approve").err
    assert "warning" not in cli("shutdown", "hello").err


def test_a_cluster_that_is_off_needs_no_nodes(cli: CommandLine) -> None:
    cli.spec(state='"off"')
    cli("apply", "-y")
    assert cli("plan").out.startswith("No changes")
    assert cli("list", "cluster", "--json").json["clusters"][0]["status"] == "off"
    assert "No nodes are recorded." in cli("list", "cluster", "hello").out
