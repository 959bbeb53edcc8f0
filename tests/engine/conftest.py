"""Shared by the tests of the engine."""

from pathlib import Path

import pytest

from tests.state.local_store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """The state of the stack, in a directory of the test."""
    return LocalStore(tmp_path / "state")
