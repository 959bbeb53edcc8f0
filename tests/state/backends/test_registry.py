from pathlib import Path

import pytest

from pragmaspec.errors import UsageError
from pragmaspec.state.backends.local.backend import LocalBackend
from pragmaspec.state.backends.registry import open_backend


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("state/hello", "/base/state/hello"),
        ("/srv/states/hello", "/srv/states/hello"),
        ("./a:b", "/base/a:b"),
        ("file:///srv/states/my%20stack", "/srv/states/my stack"),
        ("file://localhost/srv/states", "/srv/states"),
        ("FILE:/srv/states", "/srv/states"),
    ],
)
def test_a_path_and_a_file_url_are_local_directories(text, folder):
    backend = open_backend(text, Path("/base"))
    assert isinstance(backend, LocalBackend)
    assert backend.title == folder


def test_a_tilde_is_the_home_directory(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert open_backend("~/states", Path("/base")).title == "/home/ada/states"


@pytest.mark.parametrize("url", ["https://example.org/states/hello", "http://127.0.0.1:1/hello"])
def test_the_scheme_selects_the_backend_and_nothing_is_contacted(url):
    assert open_backend(url, Path("/base")).title == url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("htps://u:secret@example.org/x", "Did you mean https:?"),
        ("postgres3://u:secret@h/x", "Did you mean postgres:?"),
        ("gs://bucket/secret", "There is no backend for gs: URLs. A state is recorded in"),
        ("ab:cd", "For a directory of that name write ./ab:cd."),
        ("file://server/secret", "names only a directory of this machine"),
        ("file:///a?secret", "names only a directory of this machine"),
        (" ", "The name is empty"),
    ],
)
def test_an_unknown_backend_is_reported_with_a_suggestion(text, words):
    with pytest.raises(UsageError) as caught:
        open_backend(text, Path("/base"))
    assert words in caught.value.problems[0].detail
    assert "u:secret" not in str(caught.value)
