"""The contract of providers, and the completeness of the table of errors."""

import builtins
import json
from pathlib import Path

import pytest
from pragmaspec_directories.provider import ERRORS

from pragmaspec.providers.api import ExternalSite
from pragmaspec.testing.contract import *  # noqa: F403 - the tests of the contract
from pragmaspec.testing.selection import has
from pragmaspec.testing.subject import Subject

pytestmark = has("boot_check", "faithful", "ident", "public", "user_data", "vlans")


@pytest.fixture
def new_subject(tmp_path: Path) -> Subject:
    options = json.dumps({"root": str(tmp_path / "site"), "cpus": 8, "memory_mib": 16384})
    return Subject.at(ExternalSite(name="lab", plugin="directories", options=options), tmp_path, public="192.0.2.10")


def test_every_error_of_the_operating_system_is_translated() -> None:
    assert not {name for name in ERRORS.uncovered(builtins) if issubclass(getattr(builtins, name), OSError)}
