"""Fixtures: a loader of specs in a temporary directory, and a sample spec."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pragmaspec.spec.loaded_spec import LoadedSpec
from pragmaspec.spec.loader import load_spec

OWN_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH9Yjg9kzSiIVvWKBCoOILDlQsXGBhxjJbfRVbd9pEtU ada\n"
SAMPLE = Path(__file__).parent.parent.parent / "examples" / "specs" / "hello.yaml"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], LoadedSpec]:
    """Return a function that loads a spec from its text, with an ssh key in the home directory and without sites files."""

    home = tmp_path / "home"

    def loaded(text: str) -> LoadedSpec:
        if not (home / ".ssh").exists():
            (home / ".ssh").mkdir(parents=True)
            (home / ".ssh" / "id_ed25519").touch()
            (home / ".ssh" / "id_ed25519.pub").write_text(OWN_KEY, encoding="utf-8")
        file = tmp_path / "spec.yaml"
        file.write_text(text, encoding="utf-8")
        return load_spec(file, user_config=tmp_path / "config", home=home, agent="")

    return loaded


@pytest.fixture
def sample() -> str:
    """Return the shortest complete spec."""
    return SAMPLE.read_text(encoding="utf-8")
