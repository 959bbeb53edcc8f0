"""Where a simulated site lives: memory, a named file, or the user's state directory."""

from pathlib import Path

import pytest

from pragmaspec.providers.simulated.shared_world import shared_world, site_file
from pragmaspec.site import SimulatedSite


@pytest.mark.parametrize(
    ("file", "state_home", "expected"),
    [
        (":memory:", "/var/state", None),
        ("/home/ada/specs/:memory:", "/var/state", None),
        (None, "/var/state", "/var/state/pragmaspec/simulated/lab.jsonl"),
        (None, "", "/home/ada/.local/state/pragmaspec/simulated/lab.jsonl"),
        (None, "relative", "/home/ada/.local/state/pragmaspec/simulated/lab.jsonl"),
        ("/srv/lab.jsonl", "/var/state", "/srv/lab.jsonl"),
        ("~/lab.jsonl", "/var/state", "/home/ada/lab.jsonl"),
    ],
)
def test_the_file_of_a_site(monkeypatch, file, state_home, expected):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_STATE_HOME", state_home)
    found = site_file(SimulatedSite(name="lab", file=file))
    assert found == (Path(expected) if expected else None)


def test_a_process_has_one_world_per_file(tmp_path):
    here = str(tmp_path / "lab.jsonl")
    assert shared_world(SimulatedSite(name="a", file=here)) is shared_world(SimulatedSite(name="b", file=here))
    memory = SimulatedSite(name=f"unique {tmp_path}", file=":memory:")
    assert shared_world(memory) is shared_world(memory)
    assert shared_world(memory) is not shared_world(SimulatedSite(name=f"another {tmp_path}", file=":memory:"))
