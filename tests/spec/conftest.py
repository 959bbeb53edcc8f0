"""A spec in a fresh directory, with nothing around it: no sites file, no home."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pragmaspec.spec.loaded import LoadedSpec
from pragmaspec.spec.loader import load_spec

SAMPLE = Path(__file__).parent.parent.parent / "examples" / "specs" / "hello.yaml"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], LoadedSpec]:
    """``load(text)``: the spec in ``text``."""

    def loaded(text: str) -> LoadedSpec:
        file = tmp_path / "spec.yaml"
        file.write_text(text, encoding="utf-8")
        return load_spec(file, user_config=tmp_path / "config", home=tmp_path / "home")

    return loaded


@pytest.fixture
def sample() -> str:
    """The shortest complete spec."""
    return SAMPLE.read_text(encoding="utf-8")
