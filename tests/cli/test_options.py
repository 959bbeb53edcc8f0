"""A URL where only a file of this machine will do: refused in words, nothing made, and no password repeated."""

import pytest

from tests.cli.workshop import Workshop

URL = "http://ada:secret@127.0.0.1:1/x.qcow2"


@pytest.mark.parametrize(
    "line",
    [
        "validate", "validate --spec", "plan", "plan --out", "apply", "apply --dry-run --out", "status --spec", "image inspect",
        "image import", "image import disk.raw", "image convert disk.raw", "state push", "key import", "key export", "init",
    ],
)  # fmt: skip
def test_a_url_in_place_of_a_file(shop: Workshop, line: str) -> None:
    shop.spec()
    before = sorted(shop.directory.iterdir())
    said = shop(*line.split(), URL, status=64)
    assert "http://127.0.0.1:1/x.qcow2 is a URL, but a local path is required." in said.err
    assert sorted(shop.directory.iterdir()) == before


@pytest.mark.parametrize(
    "line", ["show", "ssh", "clean", "boot", "plan -t", "plan --replace", "image fetch", "image prune --forget", "schema"]
)
def test_no_password_is_repeated_where_a_name_is_wanted(shop: Workshop, line: str) -> None:
    shop.spec()
    said = shop(*line.split(), URL, status=64)
    assert "secret" not in said.err
    assert "127.0.0.1:1/x.qcow2" in said.err


def test_no_password_is_repeated_in_json(shop: Workshop) -> None:
    shop.spec()
    said = shop("show", URL, "--json", status=64)
    assert "secret" not in said.out + said.err


@pytest.mark.parametrize(("variable", "line"), [("PRAGMASPEC_SPEC", "plan"), ("PRAGMASPEC_IMAGES", "image list")])
def test_a_url_in_a_variable_that_names_a_path(shop: Workshop, variable: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, URL)
    said = shop(*line.split(), status=64)
    assert "http://127.0.0.1:1/x.qcow2 is a URL, but a local path is required" in said.err
    assert variable in said.err
