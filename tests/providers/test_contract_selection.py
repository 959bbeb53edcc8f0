"""Selection of the contract's tests by the features of a subject, in packages of others and here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pragmaspec.testing.selection import SITE_FEATURES, has, needs, unmet

ROOT = Path(__file__).parents[2]
PACKAGE = """
import pytest

from pragmaspec.site import SimulatedSite
from pragmaspec.testing.contract import *
from pragmaspec.testing.selection import has
from pragmaspec.testing.subject import Subject

{declaration}

@pytest.fixture
def new_subject(tmp_path):
    return Subject.at(SimulatedSite(name="lab", file=str(tmp_path / "site.jsonl")), tmp_path)
"""
DECLARED = ("autostart", "boot_check", "duplicate_removal", "faithful", "guest_simulation", "ident", "image_listing",
            "processors", "site_images", "vlans", "volume_storage")  # fmt: skip


def run_pytest(directory: Path, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def package(directory: Path, *declared: str) -> Path:
    """Write a package with the contract over one subject."""
    declaration = f"pytestmark = has{declared}" if declared else ""
    (directory / "conftest.py").write_text('pytest_plugins = ["pragmaspec.testing.plugin"]\n')
    (directory / "test_contract.py").write_text(PACKAGE.format(declaration=declaration))
    return directory


def test_a_subject_does_not_take_tests_of_features_that_it_does_not_have(tmp_path: Path) -> None:
    status, output = run_pytest(package(tmp_path, *DECLARED), "-k", "declares or flavors or token", "--contract-table")
    assert status == 0, output
    assert "1 passed" in output
    assert "skipped" not in output
    assert re.search(r"^test_contract.py: \d+ of \d+ tests, without devices, few_instances, ", output, re.MULTILINE), output
    assert "    test_flavors_are_complete needs flavors\n" in output
    assert "    test_a_machine_is_found_by_its_id needs token or tag\n" in output


@pytest.mark.parametrize(
    ("declared", "difference"),
    [
        (DECLARED[:-1], "The subject has volume_storage, but does not declare it, so that its tests do not run."),
        ((*DECLARED, "flavors"), "The subject declares flavors, but does not have it."),
    ],
    ids=["hidden", "absent"],
)
def test_a_declaration_must_be_exact(tmp_path: Path, declared: tuple[str, ...], difference: str) -> None:
    status, output = run_pytest(package(tmp_path, *declared), "-k", "declares")
    assert status == 1, output
    assert difference in output


def test_without_a_declaration_tests_are_skipped_and_it_is_recommended(tmp_path: Path) -> None:
    status, output = run_pytest(package(tmp_path), "-k", "declares or flavors_are", "-rs")
    assert status == 0, output
    arguments = ", ".join(f'"{name}"' for name in DECLARED)
    assert f"the subject has no declaration; it is: has({arguments})" in output
    assert "the subject has no flavors" in output


def test_an_unknown_feature_is_an_error() -> None:
    for mark in (needs, has):
        with pytest.raises(ValueError, match=r"^Unknown features: volumes. There are autostart, boot_check, "):
            mark("ident", "volumes")
    assert unmet(["token or tag", "flavors"], {"tag"}) == ["flavors"]


def test_the_page_describes_the_features() -> None:
    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    assert [name for name in SITE_FEATURES if f"| `{name}` |" not in page] == []


def test_every_test_of_the_contract_is_taken_by_a_subject() -> None:
    _, output = run_pytest(ROOT, "--collect-only", "--contract-table", "tests/providers/test_contract.py")
    left_out = re.findall(r"^    (test_[^\[]+)\S* needs", output, re.MULTILINE)
    subjects = len(re.findall(r"^\S+: \d+ of \d+ tests", output, re.MULTILINE))
    assert subjects == 11
    assert [name for name in {*left_out} if left_out.count(name) >= subjects] == []


def test_a_skip_in_the_tests_of_pragmaspec_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import pytest\n\ndef test_a():\n    pytest.skip('no cow')\n\n"
        "@pytest.mark.skipif(True, reason='no hen')\ndef test_b(): pass\n\n"
        "@pytest.mark.xfail(reason='no dog')\ndef test_c():\n    assert False\n"
    )
    (tmp_path / "test_b.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.no_skips"]\n')
    status, output = run_pytest(tmp_path, "test_a.py")
    assert status == 1
    assert "2 failed, 1 error" in output
    for reason in ("no cow", "no hen", "no dog"):
        assert f"deselect it where its needs are not met. {reason}" in re.sub(r"Skipped: ", "", output)
    _, output = run_pytest(tmp_path, "test_b.py")
    assert "1 error" in output
