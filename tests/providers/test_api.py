"""The interface for other packages: complete, and quick to import."""

import subprocess
import sys
from types import ModuleType

import pytest

from pragmaspec import resources
from pragmaspec.planning import observed
from pragmaspec.providers import api, base


@pytest.mark.parametrize("module", [base, observed, resources], ids=lambda module: module.__name__)
def test_the_interface_has_every_class_of_the_protocol(module: ModuleType) -> None:
    own = {name for name, each in vars(module).items() if isinstance(each, type) and each.__module__ == module.__name__}
    assert own - set(api.__all__) == set()


def test_the_interface_imports_neither_models_nor_heavy_libraries() -> None:
    code = "import sys, pragmaspec.providers.api; print({'pydantic', 'ruamel', 'requests', 'rich'} & sys.modules.keys())"
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout == "set()\n"
    )
