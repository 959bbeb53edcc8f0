"""Commands that change no site."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from tests.cli.workshop import Workshop


def test_list_cluster(shop: Workshop) -> None:
    shop.running()
    lines = shop("list", "cluster").out.splitlines()
    assert lines[0].split() == ["CLUSTER", "STATUS", "READY", "CPUS", "MEMORY", "PUBLIC", "VLAN", "PRIVATE", "SITE"]
    assert lines[1].split()[:3] == ["hello", "ready", "3/3"]
    named = shop("list", "cluster", "hello").out
    assert "hello-compute-1  ready" in named
    found = shop("list", "cluster", "hello", "--json").json["clusters"][0]["nodes"]
    assert [node["name"] for node in found] == ["hello-frontend", "hello-compute-0", "hello-compute-1"]
    assert found[1]["addresses"] == {"private": "10.20.0.10"}
    assert "Recorded clusters: hello" in shop("list", "cluster", "helo", status=64).err


def test_list_without_a_recorded_state(shop: Workshop) -> None:
    shop.spec()
    assert "pragmaspec apply" in shop("list", "cluster").out
    assert "Recorded clusters: none" in shop("list", "cluster", "hello", status=64).err
    assert "No nodes" in shop("status").out


def test_list_repository(shop: Workshop) -> None:
    shop.running()
    line = shop("list", "repository").out.splitlines()[1]
    assert line.split()[0] == "tiny"
    assert line.endswith("lab")
    (image,) = shop("list", "repository", "--json").json["images"]
    assert (image["sites"], len(image["digest"])) == (["lab"], 64)
    spec = shop.spec()
    spec.write_text(spec.read_text().partition("clusters:")[0].replace("images:", "images: {} #") + "clusters: {}\n")
    assert "no longer in the spec" in shop("list", "repository").out


def test_list_site(shop: Workshop) -> None:
    shop.running()
    said = shop("list", "site").out
    assert "hello-frontend" in said
    assert "198.51.100.10" in said
    assert shop("list", "site", "lab").out == said
    assert shop("list", "site", "--json").json["sites"][0]["inventory"]["vlans"][0]["value"] == "20"
    assert "Known sites: lab" in shop("list", "site", "lob", status=64).err


def test_an_unreachable_site_does_not_hide_the_others(shop: Workshop) -> None:
    shop.spec(site={"faults": "[{call: inventory, kind: refuse}]"})
    assert "lab" in shop("list", "site", status=1).out
    assert shop("list", "site", "--json", status=1).json["sites"][0]["trouble"]


def test_show(shop: Workshop) -> None:
    shop.running()
    assert "10.20.0.10/" in shop("show", "hello-compute-0").out
    assert shop("show", "lab/hello/node/hello-compute-0").out == shop("show", "hello-compute-0").out
    assert "vlan 20" in shop("show", "hello").out
    assert shop("show", "tiny", "--json").json["record"]["kind"] == "image"
    assert "Nothing has this address" in shop("show", "hello-compute-7", status=64).err


def test_show_lists_the_candidates_of_an_ambiguous_name(shop: Workshop) -> None:
    shop.running(cluster="tiny")
    assert "lab/tiny/allocation" in shop("show", "tiny", status=64).err


def test_status(shop: Workshop) -> None:
    shop.running()
    assert "All as recorded (looked at lab in" in shop("status").out
    shop("status", "--detailed-exitcode")
    (shop.directory / "site.json").unlink()
    assert "gone" in shop("status", "--detailed-exitcode", status=2).out
    assert {node["observed"] for node in shop("status", "--json").json["nodes"]} == {"gone"}


def test_status_does_not_read_the_spec(shop: Workshop) -> None:
    shop.running()
    (shop.directory / "cluster.yaml").write_text("clusters: [")
    assert "All as recorded" in shop("status").out


def test_ssh_config_and_inventory(shop: Workshop) -> None:
    shop.running()
    config = shop("ssh-config").out
    assert "Host hello-compute-1\n" in config
    assert "ProxyJump hello-frontend" in config
    path = shop("ssh-config", "--path").out.strip()
    assert path.endswith("/config")
    listed = json.loads(shop("inventory", "--list").out)
    assert path in listed["_meta"]["hostvars"]["hello-frontend"]["ansible_ssh_common_args"]
    assert json.loads(shop("inventory", "--host", "hello-frontend").out) == listed["_meta"]["hostvars"]["hello-frontend"]


def _graph(shop: Workshop, inventory: str) -> set[str]:
    """The lines of ``ansible-inventory --graph``, whose order is undefined."""
    command = [sys.executable, "-m", "ansible", "inventory", "-i", inventory, "--graph"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=shop.directory, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.splitlines())


def test_ansible_accepts_the_inventory_file_and_script(shop: Workshop) -> None:
    shop.running()
    (shop.directory / "hosts.yaml").write_text(shop("inventory").out)
    (shop.directory / "hosts.json").write_text(shop("inventory", "--json").out)
    command = " ".join(map(shlex.quote, shop.command("inventory", "--spec", f"{shop.directory}/cluster.yaml")))
    (shop.directory / "nodes").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    (shop.directory / "nodes").chmod(0o755)
    graph = _graph(shop, "hosts.yaml")
    assert graph == _graph(shop, "hosts.json") == _graph(shop, "./nodes")
    assert {"  |--@hello:", "  |  |--@hello__computes:", "  |  |  |--hello-compute-1", "  |--@lab__site:"} <= graph


def test_inventory_warns_about_unreachable_nodes(shop: Workshop) -> None:
    shop.spec()
    before = shop("inventory")
    assert "apply` makes the nodes" in before.err
    assert "hosts: {}" in before.out
    assert "Nothing is recorded yet" in shop("ssh-config", status=64).err
    shop.running()
    shop("shutdown", "hello", "--auto-approve")
    assert "`pragmaspec boot hello` starts them" in shop("inventory", "--list").err
    shop("clean", "hello", "--auto-approve")
    shop.running(public="none", readiness="none")
    said = shop("inventory", "--list")
    assert "left out: hello-frontend, hello-compute-0, hello-compute-1." in said.err
    assert json.loads(said.out)["_meta"] == {"hostvars": {}}


def test_inventory_suggests_similar_host_names(shop: Workshop) -> None:
    shop.running()
    said = shop("inventory", "--host", "hello-fronted")
    assert json.loads(said.out) == {}
    assert "Did you mean hello-frontend" in said.err
    assert "are mutually exclusive" in shop("inventory", "--list", "--host", "hello-frontend", status=64).err


def test_ssh_to_an_unknown_node_is_refused(shop: Workshop) -> None:
    shop.running()
    assert "Did you mean hello-compute-1" in shop("ssh", "hello-compute-l", "--", "true", status=64).err
    assert "No such node" in shop("console", "nobody", status=64).err


def test_ssh_passes_the_remaining_arguments_to_the_node(shop: Workshop) -> None:
    shop.running(public="none", readiness="none")
    assert "cannot be reached" in shop("ssh", "hello-frontend", "ls", "-l", status=1).err


def test_console(shop: Workshop) -> None:
    shop.running()
    logged = shop.process("console", "hello-frontend", "--log")
    assert logged.status == 0
    assert "Linux version" in logged.out
    assert shop("console", "hello-frontend", status=1).err.endswith("cannot be joined.\n")


def test_validate(shop: Workshop) -> None:
    shop.spec()
    assert shop("validate").out == "cluster.yaml is valid: 1 cluster, 3 nodes, 1 site, 1 image.\n"
    assert shop("validate", "--json").json == {
        "kind": "validation",
        "format": 1,
        "spec": "cluster.yaml",
        "clusters": 1,
        "nodes": 3,
        "sites": 1,
        "images": 1,
        "warnings": [],
    }
    assert "There is no nowhere.yaml" in shop("validate", "nowhere.yaml", status=64).err


def test_validate_checks_every_file_and_name_used_by_images(shop: Workshop) -> None:
    folder = shop.directory
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
    said = shop("validate", "--json", status=1).json["problems"]
    assert [(problem["summary"], problem["detail"].partition(". ")[0]) for problem in said] == [
        ("File not found", "There is no missing.raw"),
        ("File not readable", "kernel cannot be read: it is a directory, not a regular file."),
        ("File not found", "There is no gone"),
        ("File not found", "There is no gone.gpg"),
        ("Unknown catalogue name", "There is no image debian-13x in the catalogue"),
        ("Folder not found", "There is no folder 2026-11-01-img"),
        ("File not found", "There is no gone.ISO"),
        ("Folder not found", "There is no folder repository"),
        ("Unknown site", "There is no site `lab`"),
        ("Not a mapping", "`many` is not valid here"),
    ]
    assert "Did you mean debian-13?" in said[4]["detail"]


@pytest.mark.parametrize("arguments", [(), ("--sites",)])
def test_schema(shop: Workshop, arguments: tuple[str, ...]) -> None:
    assert shop("schema", *arguments).json["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_init_writes_a_valid_simulated_spec(shop: Workshop) -> None:
    said = shop("init", "--simulated").out
    assert "wrote  cluster.yaml" in said
    assert "wrote  blank.raw" in said
    assert "pragmaspec plan" in said
    assert shop("validate").out.startswith("cluster.yaml is valid")
    assert "1 to stage (2 MiB to transfer), 1 to allocate, 3 to boot" in shop("plan").out
    shop("apply", "--auto-approve")
    assert "No changes" in shop("plan").out
    assert {"simulated-site.jsonl", "plan.json"} <= set((shop.directory / ".gitignore").read_text().splitlines())
    (shop.directory / "cluster.yaml").write_text("# mine\n")
    assert "kept   cluster.yaml  (exists)" in shop("init").out
    assert (shop.directory / "cluster.yaml").read_text() == "# mine\n"


def test_init_in_another_directory_for_libvirt(shop: Workshop) -> None:
    said = shop("init", "new/place").out
    assert "Next: cd new/place && pragmaspec plan" in said
    assert "ssh-keygen" not in said
    assert "provider: libvirt" in (shop.directory / "new/place/cluster.yaml").read_text()
    ignored = (shop.directory / "new/place/.gitignore").read_text().splitlines()
    assert {"state/*/.lock", "state/*/journal.*", "state/*/backups/", "state/*/spill.*", "state/*/*.tmp"} <= set(ignored)


def test_init_refuses_an_unwritable_directory(shop: Workshop) -> None:
    (shop.directory / "file").write_text("")
    assert "cannot be written" in shop("init", "file/below", status=1).err


def test_user_data_is_validated_before_planning(shop: Workshop) -> None:
    shop.spec(user_data="{runcmdd: [x], hostname: y}")
    for command in ("validate", "plan", "plan"):
        said = shop(command)
        assert "warning: Unknown key in user-data\n  cluster.yaml:13:17\n" in said.err
        assert "Did you mean `runcmd`?" in said.err
        assert said.err.endswith("2 warnings.\n\n")
    assert shop("validate").out.startswith("cluster.yaml is valid, with 2 warnings: ")
    assert [each["severity"] for each in shop("validate", "--json").json["warnings"]] == ["warning"] * 2
    assert [each["where"]["line"] for each in shop("plan", "--json").json["warnings"]] == [13, 13]
    shop.spec(user_data="{runcmd: 3, hostname: y}")
    refused = shop("plan", status=1)
    assert "cloud-init expects a list in `runcmd`" in refused.err
    assert refused.err.endswith("1 error and 1 warning.\n")


def test_power_commands_do_not_repeat_the_warnings_of_the_spec(shop: Workshop) -> None:
    shop.spec(user_data="{runcmdd: [x]}")
    assert "warning: Unknown key" in shop("apply", "--auto-approve").err
    assert "warning" not in shop("shutdown", "hello").err
