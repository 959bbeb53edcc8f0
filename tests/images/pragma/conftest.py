from pathlib import Path

import pytest

from tests.images.pragma import repositories


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.repository(tmp_path / "repository")
