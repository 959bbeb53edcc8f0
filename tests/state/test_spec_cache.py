import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from pragmaspec.planning.wanted import Wanted
from pragmaspec.site import SimulatedSite
from pragmaspec.state.spec_cache import ABSENT, SpecCache, file_digest

WANTED = Wanted(spec_file="cluster.yaml", spec_sha256="ab", sites=(SimulatedSite(name="lab"),), images=(), clusters=())


@pytest.fixture
def spec(tmp_path):
    spec = tmp_path / "cluster.yaml"
    spec.write_text("clusters: {}\n")
    return spec


@pytest.fixture
def cache(tmp_path, spec):
    cache = SpecCache("1.0", tmp_path / "cache")
    sites = tmp_path / "sites.yaml"
    cache.put(spec, WANTED, [(str(spec), file_digest(spec)), (str(sites), ABSENT)], "here")
    return cache


def test_an_unchanged_spec_comes_from_the_cache(cache, spec):
    assert cache.get(spec, "here") == WANTED


def test_a_changed_new_or_removed_input_invalidates_the_entry(cache, spec, tmp_path):
    spec.write_text("clusters: {a: {}}\n")
    assert cache.get(spec, "here") is None
    spec.write_text("clusters: {}\n")
    assert cache.get(spec, "here") == WANTED
    (tmp_path / "sites.yaml").write_text("")
    assert cache.get(spec, "here") is None
    (tmp_path / "sites.yaml").unlink()
    spec.unlink()
    assert cache.get(spec, "here") is None


def test_another_version_or_context_invalidates_the_entry(cache, spec, tmp_path):
    assert SpecCache("1.1", tmp_path / "cache").get(spec, "here") is None
    assert cache.get(spec, "there") is None
    assert cache.get(tmp_path / "other.yaml", "here") is None


def test_a_known_change_of_an_input_keeps_the_entry_valid(cache, spec, tmp_path):
    sites, later = tmp_path / "sites.yaml", replace(WANTED, processors=(("lab", "host"),))

    def follow(spec: Path, before: str) -> None:
        cache.follow(spec, sites, (before, file_digest(sites)), lambda cached: replace(cached, processors=(("lab", "host"),)))

    sites.write_text("sites: {}\n")
    follow(spec, "0" * 64)
    assert cache.get(spec, "here") is None, "the entry was made from another version of the file"
    follow(spec, ABSENT)
    assert cache.get(spec, "here") == later
    follow(tmp_path / "other.yaml", ABSENT)
    assert cache.get(tmp_path / "other.yaml", "here") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b'{"tool":"1.0"}'])
def test_a_damaged_entry_is_ignored(cache, spec, tmp_path, damage):
    (entry,) = (tmp_path / "cache").iterdir()
    entry.write_bytes(damage)
    assert cache.get(spec, "here") is None


def test_a_pipe_in_place_of_a_file_is_a_change_and_does_not_block(tmp_path, spec):
    cache = SpecCache("1.0", tmp_path / "kept")
    cache.put(spec, WANTED, [(str(tmp_path / "lock"), file_digest(spec))])
    os.mkfifo(tmp_path / "lock")
    assert cache.get(spec) is None


def test_entries_are_private(cache, tmp_path):
    (entry,) = (tmp_path / "cache").iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, spec):
    (tmp_path / "file").write_text("")
    cache = SpecCache("1.0", tmp_path / "file" / "cache")
    cache.put(spec, WANTED, [])
    assert cache.get(spec) is None


def test_location_of_the_cache(tmp_path, spec, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "named"))
    SpecCache("1.0").put(spec, WANTED, [])
    assert len(list((tmp_path / "named" / "pragmaspec" / "wanted").iterdir())) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    SpecCache("1.0").put(spec, WANTED, [])
    assert len(list((tmp_path / "home" / ".cache" / "pragmaspec" / "wanted").iterdir())) == 1
