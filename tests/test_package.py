"""The built wheel in a virtual environment, and its types."""

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

import pragmaspec
from pragmaspec.plugins import BUILT_IN

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINK = re.compile(r"\]\((?!https?://)")
USER = """\
from pragmaspec import ApplyResult, CommandResult, Node, Plan, PragmaspecError, Stack, State

def addresses(stack: Stack, cluster: str) -> dict[str, str]:
    nodes: tuple[Node, ...] = stack.nodes(cluster)
    return {node.name: nic.address for node in nodes for nic in node.nics if nic.network == "public"}

def applied(stack: Stack) -> ApplyResult | None:
    plan: Plan = stack.plan(targets="hello")
    state: State = stack.state()
    try:
        return stack.apply(plan, allow=("rebuild",)) if not plan.empty and state.serial < 9 else None
    except PragmaspecError as error:
        print([f"{problem.where}: {problem.summary} {problem.detail}" for problem in error.problems])
    result: CommandResult = stack.ssh("hello-frontend", "hostname", timeout_s=5)
    print(result.status, result.stdout.decode(), [nic.mac for node in state.nodes() for nic in node.nics])
    return None
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-d", str(folder), cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a virtual environment with the wheel; its dependencies are those of the test environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (site_packages,) = (folder / "lib").glob("python*/site-packages")
    (site_packages / "dependencies.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n")
    return python


def test_the_installed_command_runs_with_its_documentation(installed: Path, tmp_path: Path) -> None:
    assert _run(installed.with_name("pragmaspec"), "--version", cwd=tmp_path) == f"pragmaspec {pragmaspec.__version__}\n"
    location = _run(installed, "-c", "import pragmaspec; print(pragmaspec.__file__)", cwd=tmp_path)
    assert location.startswith(str(installed.parents[1]))
    shared = installed.parents[1] / "share" / "doc" / "pragmaspec"
    linked = re.findall(r"\]\(((?!https?://)[^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert [name for name in linked if not (shared / name).is_file()] == []


def test_the_wheel_contains_every_file_of_the_package(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "pragmaspec").rglob("*") if file.is_file()}
    assert {name for name in files if "__pycache__" not in name} == {name for name in packed if name.startswith("pragmaspec/")}
    assert "pragmaspec/py.typed" in packed


def test_the_metadata_has_authors_licence_and_no_broken_links(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata: Message = message_from_string(archive.read(name).decode())
    assert metadata["Version"] == pragmaspec.__version__
    assert metadata["Author"] == "the pragmaspec authors"
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert [line for line in metadata.get_all("Project-URL", []) if not re.fullmatch(r"\w+, https://\S+", line)] == []
    description = metadata.get_payload()
    assert isinstance(description, str)
    assert "# pragmaspec" in description
    assert LINK.search(description) is None
    assert "The spec (`docs/spec.md`)" in description


def test_user_code_passes_strict_type_checking(installed: Path, tmp_path: Path) -> None:
    """Checks a user script, and every Python block in README.md and docs/library.md."""
    (tmp_path / "user.py").write_text(USER)
    for document in ("README.md", "docs/library.md"):
        examples = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
        (tmp_path / f"{Path(document).stem.lower()}.py").write_text("\n".join(examples))
    files = sorted(path.name for path in tmp_path.glob("*.py"))
    assert files == ["library.py", "readme.py", "user.py"]
    cache = ROOT / ".mypy_cache" / "package"
    checker = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed), "--cache-dir", str(cache)]
    (tmp_path / "wrong.py").write_text("from pragmaspec import Stak\n")
    done = subprocess.run([*checker, *files, "wrong.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        'wrong.py:1: error: Module "pragmaspec" has no attribute "Stak"; maybe "Stack"?  [attr-defined]',
        f"Found 1 error in 1 file (checked {len(files) + 1} source files)",
    ], done.stdout + done.stderr


def test_install_hints_are_declared_requirements() -> None:
    """The hints must not name extras of this package, which may be unpublished."""
    texts = [*(ROOT / "pragmaspec").rglob("*.py"), *(ROOT / "docs").glob("*.md")]
    hints = {hint for file in texts for hint in re.findall(r"pip install '?([^'`\s]+)", file.read_text(encoding="utf-8"))}
    extras = PROJECT["optional-dependencies"]
    known = {requirement for name, required in extras.items() if name != "dev" for requirement in required}
    assert hints - {"{requirement}", "./examples/provider"} <= known
    assert {requirement for each in BUILT_IN.values() for _, requirement in each.libraries} <= known


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
