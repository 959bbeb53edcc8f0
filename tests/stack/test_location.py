from pathlib import Path

import pytest

from pragmaspec.errors import UsageError
from pragmaspec.stack.location import is_url, locate_stack, stack_name


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _write(name: str, text: str = "clusters: {}\n") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_spec_lookup_precedence() -> None:
    _write("other.yaml")
    assert locate_stack(environment={}).spec == Path("other.yaml")
    _write("pragmaspec.yaml")
    assert locate_stack(environment={}).spec == Path("pragmaspec.yaml")
    _write("cluster.yaml")
    assert locate_stack(environment={}).spec == Path("cluster.yaml")
    assert locate_stack(environment={"PRAGMASPEC_SPEC": "other.yaml"}).spec == Path("other.yaml")
    assert locate_stack("pragmaspec.yaml", environment={"PRAGMASPEC_SPEC": "other.yaml"}).spec == Path("pragmaspec.yaml")


def test_only_a_yaml_file_with_top_level_clusters_is_a_spec() -> None:
    _write("sites.yaml", "sites:\n  clusters: no\n")
    _write("one.yml", '"clusters": {}\n')
    _write("notes.txt")
    assert locate_stack(environment={}).spec == Path("one.yml")
    _write("two.yaml")
    with pytest.raises(UsageError, match=r"one.yml, two.yaml"):
        locate_stack(environment={})


def test_the_default_state_directory_is_beside_the_spec() -> None:
    _write("far/away.yaml")
    location = locate_stack("far/away.yaml", environment={})
    assert (location.name, location.state) == ("away", "far/state/away")
    assert locate_stack("far/away.yaml", "elsewhere", environment={}).state == "elsewhere"
    assert locate_stack("far", environment={}).spec == Path("far/away.yaml")
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="in empty"):
        locate_stack("empty", environment={})


def test_a_stack_can_be_located_by_its_state_directory_alone() -> None:
    location = locate_stack(state="state/hello", environment={})
    assert (location.spec, location.name) == (None, "hello")
    with pytest.raises(UsageError):
        _ = location.spec_file


@pytest.mark.parametrize("name", ["nowhere/cluster.yaml", f"{'a' * 300}.yaml"])
def test_a_missing_spec_is_an_error_only_when_it_is_read(name: str) -> None:
    location = locate_stack(name, "state/hello", environment={})
    assert location.spec == Path(name)
    with pytest.raises(UsageError, match=rf"There is no {name}\. `pragmaspec init` writes a first spec\."):
        _ = location.spec_file
    by_variable = locate_stack(state="state/hello", environment={"PRAGMASPEC_SPEC": name})
    with pytest.raises(UsageError, match=f"There is no {name}, which the environment variable PRAGMASPEC_SPEC names"):
        _ = by_variable.spec_file
    assert not locate_stack(name, "state/hello", environment={"PRAGMASPEC_SPEC": "x.yaml"}).spec_from_environment


@pytest.mark.parametrize("name", ["nowhere/cluster.yaml", f"{'a' * 300}.yaml"])
def test_a_missing_spec_without_a_state_is_an_error(name: str) -> None:
    with pytest.raises(UsageError, match=rf"There is no {name}\. `pragmaspec init` writes a first spec\."):
        locate_stack(name, environment={})


def test_the_state_beside_a_deleted_spec_is_found(tmp_path: Path) -> None:
    (tmp_path / "state" / "hello").mkdir(parents=True)
    assert locate_stack(tmp_path / "hello.yaml", environment={}).state == str(tmp_path / "state" / "hello")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("clusters: {}\n", "file"),
        ("stack: hello\n", "hello"),
        ("# stack: no\nstack:   'my.stack-2'  # yes\n", "my.stack-2"),
        ('"stack": "x"\r\nclusters: {}\r\n', "x"),
        ("clusters:\n  stack: no\n", "file"),
        ("stack: not a name\n", "file"),
    ],
)
def test_the_stack_name_is_the_stack_key_or_the_file_name(text: str, name: str) -> None:
    assert stack_name(_write("file.yaml", text)) == name


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("state: https://host/a/b", "https://host/a/b"),
        ("state:\n  url: s3://bucket/key   # there", "s3://bucket/key"),
        ("state: ./states/x", "far/states/x"),
        ("state: /srv/x", "/srv/x"),
    ],
)
def test_the_spec_can_set_the_state_location(line: str, state: str) -> None:
    _write("far/away.yaml", f"{line}\nclusters: {{}}\n")
    location = locate_stack("far/away.yaml", environment={})
    assert (location.state, location.state_from_spec) == (state, True)
    assert location.default_state == Path("far/state/away")
    assert location.remote == ("://" in state)
    named = locate_stack("far/away.yaml", "here", environment={})
    assert (named.state, named.state_from_spec) == ("here", False)


def test_a_stack_can_be_located_by_its_state_url_alone() -> None:
    location = locate_stack(state="s3://bucket/states/hello?region=x", environment={})
    assert (location.spec, location.name, location.state) == (None, "hello", "s3://bucket/states/hello?region=x")


@pytest.mark.parametrize(
    ("text", "url"), [("https://host:8/a/b?c=d", True), ("s3://b/k", True), ("file:///x", True), ("a/b", False), ("./a:b", False)]
)
def test_only_text_with_a_scheme_is_a_url(text: str, url: bool) -> None:
    assert is_url(text) is url
