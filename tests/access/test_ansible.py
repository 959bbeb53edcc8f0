"""Ansible itself reads the generated inventory."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pragmaspec.access.ansible_inventory import ansible_inventory, inventory_text, list_text
from pragmaspec.access.routes import routes
from pragmaspec.access.ssh import SshClient
from tests.access.conftest import KEY, LINEAGE, member, state

NAMES = (
    *("web", "web-frontend", "a", "a-frontend", "a-computes", "a--b", "site", "frontends"),
    *("all", "localhost", "ungrouped", "hosts", "vars", "children", "none", "on"),
)
SITES = ("lab", "far", "site", "frontend")
MANY = state(
    *(
        member(name, SITES[at % len(SITES)], index, public="192.0.2.1" if index < 0 else None)
        for at, name in enumerate(NAMES)
        for index in (-1, 0)
    ),
    member("web", "far", -1, public="192.0.2.2"),
)

ODD_PATH = "/run/user {{ 7*7 }}/{% x %}{# y #}\\n\\'\"/é/%d/config"


@pytest.fixture
def ansible(tmp_path):
    """``ansible(program, arguments…)``: the output of an Ansible program, which must not warn."""

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ansible", program, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    return run


def _written(folder: Path, found) -> list[Path]:
    """``found`` in every format: as a file under three names, and as a script."""
    (folder / "list.json").write_text(list_text(found))
    files = {
        "hosts.yaml": inventory_text(found),
        "hosts.json": inventory_text(found, as_json=True),
        "yaml.json": inventory_text(found),
    }
    files["nodes"] = f"#!/bin/sh\nexec cat {folder}/list.json\n"
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "nodes").chmod(0o755)
    return [folder / name for name in files]


def _hosts(listed, group: str) -> set[str]:
    members = listed.get(group, {})
    return {*members.get("hosts", ()), *(host for child in members.get("children", ()) for host in _hosts(listed, child))}


def test_every_inventory_format_yields_the_same_groups_and_variables(ansible, tmp_path):
    found = ansible_inventory(MANY, routes(MANY, KEY), ODD_PATH)
    listings = [json.loads(ansible("inventory", "-i", str(file), "--list")) for file in _written(tmp_path, found)]
    for listed in listings:
        for group in found.groups:
            members = set(group.members)
            expected = members if group.holds == "hosts" else {host for child in members for host in _hosts(listed, child)}
            assert _hosts(listed, group.name) == expected, group.name
        assert _hosts(listed, "all") == dict(found.hosts).keys()
        assert listed["_meta"]["hostvars"] == listings[0]["_meta"]["hostvars"]
    assert _hosts(listings[0], "web") == {"web-frontend.lab", "web-frontend.far", "web-compute-0"}
    assert _hosts(listings[0], "web__at__far") == {"web-frontend.far"}
    assert _hosts(listings[0], "a__frontend") == {"a-frontend"}
    assert _hosts(listings[0], "a_frontend") == {"a-frontend-frontend", "a-frontend-compute-0"}


def test_values_are_not_evaluated_as_templates(ansible, tmp_path):
    found = ansible_inventory(MANY, routes(MANY, KEY), ODD_PATH)
    for file in _written(tmp_path, found):
        output = ansible(
            "adhoc", "-i", str(file), "-c", "local", "a-frontend", "-m", "debug", "-a", "var=ansible_ssh_common_args"
        )
        value = json.loads(output.partition("=>")[2])["ansible_ssh_common_args"]
        assert shlex.split(value) == ["-F", ODD_PATH]


def test_an_empty_inventory_is_valid(ansible, tmp_path):
    for file in _written(tmp_path, ansible_inventory(state(), (), ""))[::3]:
        assert _hosts(json.loads(ansible("inventory", "-i", str(file), "--list")), "all") == set()


def test_a_module_runs_on_a_node_with_a_long_connect_timeout(ansible, serve, short_folder, tmp_path):
    """Options on the command line of ssh override the configuration file; Ansible must wait for a slow frontend."""
    node = member("hello", "lab", -1, public="127.0.0.1")
    remote = SshClient(LINEAGE, KEY, short_folder / "ssh", port=serve(node.address).port)
    found = state(node)
    (tmp_path / "hosts.yaml").write_text(inventory_text(ansible_inventory(found, remote.use(found), str(remote.config))))
    own = {
        "ansible_remote_tmp": f"{tmp_path}/remote",
        "ansible_python_interpreter": sys.executable,
        "ansible_ssh_transfer_method": "piped",  # the server here has no sftp
        "ansible_ssh_args": "-C",  # no connection may outlive the test
    }
    pinged = ansible("adhoc", "-i", "hosts.yaml", "hello", "-m", "ping", "-vvv", "-e", json.dumps(own))
    assert '"ping": "pong"' in pinged
    assert "ConnectTimeout=60" in pinged
    assert "ConnectTimeout=10" not in pinged
