from pathlib import Path
from typing import Any

import pytest

from pragmaspec.spec.loader import load_spec
from pragmaspec.spec.models.cluster import SiteModel, SpecModel
from pragmaspec.spec.validation.locations import fields_of

ROOT = Path(__file__).parent.parent.parent


def keys(annotation: Any) -> set[str]:
    found: set[str] = set()
    for key, field in fields_of(annotation).items():
        found |= {key} | keys(field.annotation) | keys(next(iter(getattr(field.annotation, "__args__", ())[1:]), None))
    return found


@pytest.mark.parametrize("key", sorted(keys(SpecModel) | keys(SiteModel)))
def test_every_key_is_documented(key: str) -> None:
    assert f"`{key}`" in (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


def test_the_first_example_in_the_documentation_is_valid(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    assert text == (ROOT / "examples" / "specs" / "hello.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 15
    (tmp_path / "spec.yaml").write_text(text)
    assert load_spec(tmp_path / "spec.yaml", user_config=tmp_path, home=tmp_path).model.clusters["hello"].computes.count == 2
