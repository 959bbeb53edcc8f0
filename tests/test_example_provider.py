"""The provider in ``examples/provider``: built as a wheel, installed beside pragmaspec, used by the command, and tested."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pragmaspec.plugins import BUILT_IN

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "provider"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH9Yjg9kzSiIVvWKBCoOILDlQsXGBhxjJbfRVbd9pEtU ada\n"


class Workspace:
    """A directory with the example's spec, and a packages directory that may contain the provider."""

    def __init__(self, directory: Path, packages: Path) -> None:
        self.directory = directory
        self.packages = packages
        disk = bytearray(2**20)
        disk[510:512] = b"\x55\xaa"
        (directory / "disk.raw").write_bytes(disk)
        shutil.copy(EXAMPLE / "cluster.yaml", directory)
        ssh = directory / "home" / ".ssh"
        ssh.mkdir(parents=True)
        (ssh / "id_ed25519").touch()
        (ssh / "id_ed25519.pub").write_text(KEY)

    def run(self, *command: str, installed: bool = True, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        home = self.directory / "home"
        own = {f"XDG_{name}_HOME": str(home / name) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
        path = os.pathsep.join([*([str(self.packages)] if installed else []), str(ROOT)])
        environment = {**os.environ, **own, "HOME": str(home), "PYTHONPATH": path, "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *command],
            cwd=cwd or self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def pragmaspec(self, *arguments: str, status: int = 0, installed: bool = True) -> str:
        """Run the command, and return its output and errors."""
        done = self.run("-m", "pragmaspec", *arguments, installed=installed)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def uninstall(self) -> None:
        shutil.rmtree(self.packages)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    source = shutil.copytree(EXAMPLE, directory / "source", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", ".."], cwd=source, check=True, timeout=120)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture
def workspace(wheel: Path, tmp_path: Path) -> Workspace:
    packages = tmp_path / "packages"
    work = tmp_path / "work"
    work.mkdir()
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--target",
        str(packages),
        str(wheel),
    ]
    subprocess.run(command, check=True, timeout=120)
    return Workspace(work, packages)


def test_a_cluster_is_planned_applied_and_cleaned(workspace: Workspace) -> None:
    assert "+ boot      hello-compute-1" in workspace.pragmaspec("plan")
    workspace.pragmaspec("apply", "--auto-approve")
    assert len(list(workspace.directory.glob("machines/StoredMachine/*/disk"))) == 3
    assert "No changes: shelf matches cluster.yaml." in workspace.pragmaspec("plan")
    (site,) = json.loads(workspace.pragmaspec("plan", "--json"))["sites"]
    assert (site["name"], site["provider"]) == ("shelf", "directories")
    workspace.pragmaspec("clean", "hello", "--shutdown", "--auto-approve")
    assert list(workspace.directory.glob("machines/StoredMachine/*")) == []


def test_a_saved_plan_is_applied(workspace: Workspace) -> None:
    workspace.pragmaspec("plan", "--out", "hello.plan")
    workspace.pragmaspec("apply", "hello.plan", "--auto-approve")
    assert "No changes" in workspace.pragmaspec("plan")


def test_a_saved_plan_needs_the_package(workspace: Workspace) -> None:
    workspace.pragmaspec("plan", "--out", "hello.plan")
    workspace.uninstall()
    failed = workspace.pragmaspec("apply", "hello.plan", "--auto-approve", status=1)
    assert "error: Unknown provider" in failed


def test_a_plan_without_changes_imports_neither_models_nor_yaml(workspace: Workspace) -> None:
    workspace.pragmaspec("apply", "--auto-approve")
    code = (
        "import sys; from pragmaspec.cli.app import run; run(('plan',)); print(sorted({'pydantic', 'ruamel'} & set(sys.modules)))"
    )
    done = workspace.run("-c", code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_state_is_readable_without_the_package(workspace: Workspace) -> None:
    workspace.pragmaspec("apply", "--auto-approve")
    state = workspace.directory / "state" / "cluster" / "state.json"
    (site,) = json.loads(state.read_text())["sites"]
    options = json.loads(site.pop("options"))
    assert options == {"root": str(workspace.directory / "machines"), "cpus": 8, "memory_mib": 16384}
    assert (site["provider"], site["plugin"], site["name"]) == ("external", "directories", "shelf")
    workspace.uninstall()
    assert "shelf/hello/node/hello-frontend" in workspace.pragmaspec("state", "list")
    assert "192.0.2.10" in workspace.pragmaspec("list", "cluster")
    (workspace.directory / "cluster.yaml").rename(workspace.directory / "away.txt")
    failed = workspace.pragmaspec("clean", "hello", "--state", "state/cluster", "--auto-approve", status=1)
    assert "error: Unknown provider\n  Site shelf uses the provider `directories`, which is not installed." in failed


def test_an_uninstalled_provider_is_an_error_at_its_position(workspace: Workspace) -> None:
    workspace.pragmaspec("plan")
    workspace.uninstall()
    failed = workspace.pragmaspec("plan", status=1)
    assert "error: Unknown provider\n  cluster.yaml:4:21\n" in failed
    words = " ".join(failed.split())
    assert all(f"`{name}`" in words for name in BUILT_IN)
    assert "others are Python packages with an entry point in the group" in words


def test_a_new_version_of_the_package_is_read_again(workspace: Workspace) -> None:
    workspace.pragmaspec("apply", "--auto-approve")
    options = workspace.packages / "pragmaspec_directories" / "options.py"
    options.write_text(options.read_text().replace("integer(1, 4096)", "integer(1, 4)").replace("default=8,", "default=4,"))
    workspace.pragmaspec("plan")
    (workspace.directory / "cluster.yaml").write_text(
        (EXAMPLE / "cluster.yaml").read_text().replace("machines}", "machines, cpus: 5}")
    )
    assert "Write a number from 1 to 4." in workspace.pragmaspec("validate", status=1)


def test_the_schema_contains_the_provider(workspace: Workspace) -> None:
    schema = json.loads(workspace.pragmaspec("schema"))
    assert schema["$defs"]["DirectoriesOptions"]["required"] == ["root", "provider"]


def test_the_example_passes_its_tests(workspace: Workspace) -> None:
    done = workspace.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests"), cwd=EXAMPLE)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d{2} passed, \d+ deselected in", done.stdout, re.MULTILINE), done.stdout


def test_the_example_passes_strict_type_checking(workspace: Workspace) -> None:
    cache = str(ROOT / ".mypy_cache" / "package")
    done = workspace.run("-m", "mypy", "--strict", "--cache-dir", cache, "-p", "pragmaspec_directories")
    assert done.returncode == 0, done.stdout


def test_the_page_contains_the_whole_example() -> None:
    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    blocks = set(re.findall(r"```(?:python|toml|yaml)\n(.*?)```", page, re.DOTALL))
    files = [file for file in EXAMPLE.rglob("*") if file.suffix in {".py", ".toml", ".yaml"}]
    assert len(files) == 8
    assert [file.name for file in files if file.read_text(encoding="utf-8") not in blocks] == []


def test_the_page_lists_the_names_of_the_interface() -> None:
    from pragmaspec.providers import api, options

    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`(\w+)`", page.partition("## Names")[2].partition("\n## ")[0]))
    assert {*api.__all__, *options.__all__} <= names
    assert f"version {api.API_VERSION}" in page
    assert {each.api for each in BUILT_IN.values()} == {api.API_VERSION}
