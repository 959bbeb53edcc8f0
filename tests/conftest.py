"""Shared by all tests: golden files, rewritten by ``pytest --update-golden``, the hypervisor and the OpenStack lab."""

import signal
from collections.abc import Callable
from difflib import unified_diff
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["pragmaspec.testing.plugin", "tests.hypervisor", "tests.openstack_lab", "tests.no_skips"]


def pytest_configure() -> None:
    # Background jobs of a script ignore SIGINT, and so would every process that a test starts in order to interrupt it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # On a busy machine a correct test may be slow.
    settings.register_profile("pragmaspec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("pragmaspec")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files with the actual text")


_machines = count(1)


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own memory of stacks and sites on this machine, and no ssh agent."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "machines" / str(next(_machines))))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """``golden(path, actual)`` fails with a diff unless the file at ``path`` contains ``actual``."""
    update: bool = request.config.getoption("--update-golden")

    def compare(path: Path, actual: str) -> None:
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if actual == expected and path.exists():
            return
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
            return
        lines = unified_diff(expected.splitlines(), actual.splitlines(), f"{path} (golden)", "actual", lineterm="")
        hint = "Read the difference. If it is intended, run the same test with --update-golden."
        pytest.fail("\n".join([f"{path.name} differs from the golden file.", *lines, "", hint]), pytrace=False)

    return compare
