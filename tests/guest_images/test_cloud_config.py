"""The script of the tiny guest that takes the place of cloud-init, run with busybox on this machine."""

import gzip
import os
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pragmaspec.guest.cloud_init.documents import COMPRESS_FROM_CHARACTERS, user_data_text
from pragmaspec.guest.cloud_init.limited import limited_user_data
from pragmaspec.guest.cloud_init.yaml import yaml_text
from pragmaspec.guest.contract.cluster import GuestSettings
from pragmaspec.guest.contract.files import HOST_KEY, identity_files
from pragmaspec.guest.keys import StackKey
from pragmaspec.guest.setup.users import ClusterUser
from tests.guest.cloud_init.test_documents import as_cloud_init_reads
from tests.guest.conftest import make_cluster
from tests.guest_images.cloud_tiny import ROOT

OPENSTACK, EC2 = 49_151, 16 * 2**10
STACK_KEY = StackKey(bytes(range(32)))
OWN = GuestSettings(
    packages=("nfs-common",),
    user_data='#cloud-config\n{"runcmd": ["echo \\"ä\\" >hello", ["touch", "a b"]], "x-y": [{"path": "/no"}]}',
)


@pytest.fixture(scope="module")
def applets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the programs of busybox, and nothing else."""
    directory = tmp_path_factory.mktemp("applets")
    subprocess.run(["busybox", "--install", "-s", directory], check=True)
    return directory


def cloud_config(applets: Path, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [applets / "sh", ROOT / "cloud-config", *arguments]
    return subprocess.run(command, env={"PATH": str(applets)}, cwd=cwd, capture_output=True, text=True, check=False)


def written(config: dict[str, Any]) -> dict[str, tuple[bytes, int]]:
    """Return the content and mode of each file that cloud-init would write."""
    files = {}
    for entry in config["write_files"]:
        content = entry["content"].encode()
        if entry.get("encoding") == "gz+b64":
            content = gzip.decompress(b64decode(content))
        files[entry["path"]] = (content, int(entry["permissions"], 8))
    return files


def found(root: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and mode of each file below ``root``, without the script's own."""
    paths = [path for path in root.rglob("*") if path.is_file() and not path.is_relative_to(root / "run")]
    return {f"/{path.relative_to(root)}": (path.read_bytes(), path.stat().st_mode & 0o7777) for path in paths}


@pytest.mark.parametrize("number", [0, 1, 2], ids=["frontend", "compute-0", "compute-1"])
@pytest.mark.parametrize("own", [GuestSettings(), OWN], ids=["plain", "own"])
@pytest.mark.parametrize("limit", [OPENSTACK, EC2, 5000, 1500], ids=str)
def test_files_of_a_node_are_those_that_cloud_init_writes(
    tmp_path: Path, applets: Path, number: int, own: GuestSettings, limit: int
) -> None:
    cluster = make_cluster(2, users=(ClusterUser(name="ada", uid=2000, ssh_keys=("ssh-ed25519 AAAA ada",)),))
    node = cluster.nodes[number]
    content = limited_user_data(node, cluster, own, STACK_KEY, limit).content
    user_data, root = tmp_path / "user_data", tmp_path / "root"
    user_data.write_bytes(content)
    done = cloud_config(applets, "write", user_data, root)
    assert (done.returncode, done.stderr) == (0, "")
    text = gzip.decompress(content).decode() if content[:2] == b"\x1f\x8b" else content.decode()
    identity = {file.path: (file.content.encode(), file.mode) for file in identity_files(node, cluster, STACK_KEY)}
    kept = {path: identity[path] for path in ("/etc/hostname", HOST_KEY)}
    kept[f"{HOST_KEY}.pub"] = (identity[f"{HOST_KEY}.pub"][0], 0o644)
    assert found(root) == {**written(as_cloud_init_reads(text)), **kept}


def test_compressed_files_of_a_large_cluster(tmp_path: Path, applets: Path) -> None:
    cluster = make_cluster(60)
    text = user_data_text(cluster.frontend, cluster, GuestSettings(), STACK_KEY)
    files = written(as_cloud_init_reads(text))
    assert max(len(content) for content, _ in files.values()) > COMPRESS_FROM_CHARACTERS
    assert "gz+b64" in text
    (tmp_path / "user_data").write_text(text, encoding="utf-8")
    assert cloud_config(applets, "write", tmp_path / "user_data", tmp_path / "root").returncode == 0
    assert files.items() <= found(tmp_path / "root").items()


def test_commands_run_in_their_order(tmp_path: Path, applets: Path) -> None:
    commands = ["echo one >>log", ["sh", "-c", "echo two >>log\n\necho 'three  ä' >>log\n"], ["touch", "a  b"]]
    (tmp_path / "user_data").write_text(f"#cloud-config\n{yaml_text({'runcmd': commands})}", encoding="utf-8")
    assert cloud_config(applets, "write", tmp_path / "user_data", tmp_path / "root").returncode == 0
    assert cloud_config(applets, "run", "bootcmd", tmp_path / "root", cwd=tmp_path).returncode == 0
    assert cloud_config(applets, "run", "runcmd", tmp_path / "root", cwd=tmp_path).returncode == 0
    assert (tmp_path / "log").read_text(encoding="utf-8") == "one\ntwo\nthree  ä\n"
    assert (tmp_path / "a  b").exists()


def test_a_failed_command_is_reported_and_the_next_one_runs(tmp_path: Path, applets: Path) -> None:
    (tmp_path / "user_data").write_text("#cloud-config\nruncmd:\n  - - false\n  - - touch\n    - after\n", encoding="utf-8")
    cloud_config(applets, "write", tmp_path / "user_data", tmp_path / "root")
    done = cloud_config(applets, "run", "runcmd", tmp_path / "root", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "commands failed: 0\n")
    assert (tmp_path / "after").exists()


def test_other_user_data_is_refused(tmp_path: Path, applets: Path) -> None:
    (tmp_path / "user_data").write_text("Content-Type: multipart/mixed\n", encoding="utf-8")
    assert cloud_config(applets, "write", tmp_path / "user_data", tmp_path / "root").returncode == 1
    assert found(tmp_path / "root") == {}


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.from_regex(
    r"([!-~][\t -~]*(\n+[\t -~]+)*\n?)", fullmatch=True
)
junk = st.recursive(
    texts | st.none() | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
entries = st.lists(st.fixed_dictionaries({"content": texts, "path": texts, "odd key": junk}), min_size=1, max_size=3)


@given(before=st.dictionaries(texts.filter(lambda key: not key.isalnum()), junk, max_size=2), entries=entries)
@settings(max_examples=60)
def test_every_text_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, Any], entries: list[dict[str, Any]]
) -> None:
    directory = tmp_path_factory.mktemp("values")
    document = directory / "document"
    document.write_text(yaml_text({**before, "write_files": entries, "hostname": "end"}), encoding="utf-8", newline="")
    values = directory / "out"
    values.mkdir()
    awk = ["busybox", "awk", "-v", f"out={values}", "-f", ROOT / "yaml-values.awk", document]
    subprocess.run(awk, check=True, env={"PATH": os.environ["PATH"]})
    expected = {"hostname": "end"}
    for number, entry in enumerate(entries):
        expected |= {f"write_files.{number}.{key}": entry[key] for key in ("content", "path")}
    read = {path.name: path.read_bytes() for path in values.iterdir() if path.name in expected}
    assert read == {name: text.encode() for name, text in expected.items()}
