"""Every test has its own keys."""

import pytest


@pytest.fixture(autouse=True)
def own_keys(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PRAGMASPEC_KEYS", str(tmp_path_factory.mktemp("keys")))
