"""Fixtures: the command line in a user's directory, and a stack at a site with simulated time."""

from pathlib import Path

import pytest

from tests.cli.conftest import cli  # noqa: F401 - a fixture
from tests.engine.harness import Harness


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "remembered"))
    return Harness(tmp_path)
