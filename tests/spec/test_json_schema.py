"""The JSON Schemas: up to date, valid, and consistent with the loader for examples and invalid specs."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from pragmaspec.spec.json_schema import schema_text, sites_schema_text

ROOT = Path(__file__).parent.parent.parent
SPECS = [*sorted((ROOT / "examples" / "specs").glob("*.yaml")), ROOT / "examples" / "specs" / "travelling" / "cluster.yaml"]
NOT_IN_A_SCHEMA = {
    "claimed-twice",
    "groups-ambiguous",
    "groups-circular-wait",
    "disks-claimed-twice",
    "guest-files",
    "image-at",
    "image-missing",
    "image-unknown",
    "key-private",
    "many-choices",
    "own-key-damaged",
    "public-addresses",
    "range-too-small",
    "ranges-overlap",
    "site-none-defined",
    "site-unknown",
    "sites-file",
    "sites-file-damaged",
    "ssh-key-files",
    "unreachable",
    "user-data-files",
    "user-data-schema",
    "user-data-too-large",
    "networking-sites-file",
    "moved-circle",
    "moved-still-there",
    "moved-to-nothing",
    "moved-twice",
    "state-secret-parameter",
    "state-urls-options",
    "state-urls-port",
    "volumes-shared",
}
"""Cases that only checks across the document or of other files can detect."""
NOT_READ = ("yaml-", "characters", "key-duplicate", "key-not-text", "bridge-pattern")
"""Cases that other YAML readers reject or change before validation."""


def read(file: Path) -> Any:
    return as_json(YAML(typ="safe", pure=True).load(file.read_bytes()))


def as_json(value: Any) -> Any:
    """Return ``value`` with string keys only, as editors do."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("file", "text"), [("pragmaspec.schema.json", schema_text()), ("pragmaspec-sites.schema.json", sites_schema_text())]
)
def test_the_schema_file_is_up_to_date_and_valid(file: str, text: str) -> None:
    written = (ROOT / "schemas" / file).read_text(encoding="utf-8")
    assert written == text, "run: make schema"
    Draft202012Validator.check_schema(json.loads(text))


@pytest.mark.parametrize(("arguments", "text"), [([], schema_text()), (["sites"], sites_schema_text())])
def test_the_module_prints_the_schema(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["json_schema", *arguments])
    runpy.run_path(str(ROOT / "pragmaspec" / "spec" / "json_schema.py"), run_name="__main__")
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.name)
def test_examples_are_valid(file: Path) -> None:
    Draft202012Validator(json.loads(schema_text())).validate(read(file))


def test_the_example_of_a_sites_file_is_valid() -> None:
    sites = ROOT / "examples" / "specs" / "travelling" / "sites.yaml"
    Draft202012Validator(json.loads(sites_schema_text())).validate(read(sites))


@pytest.mark.parametrize(
    "case",
    sorted(
        case.name
        for case in (ROOT / "tests" / "cases" / "spec_error").iterdir()
        if case.name not in NOT_IN_A_SCHEMA and not case.name.startswith(NOT_READ)
    ),
)
def test_the_schema_rejects_invalid_specs(case: str) -> None:
    document = read(ROOT / "tests" / "cases" / "spec_error" / case / "spec.yaml")
    assert not Draft202012Validator(json.loads(schema_text())).is_valid(document)


def places(schema: Any, path: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in schema.get("properties", {}).items():
        found.append((f"{path}.{key}", value))
    for name, definition in schema.get("$defs", {}).items():
        found += places(definition, name)
    return found


def test_every_key_has_a_description_and_an_example() -> None:
    schema = json.loads(schema_text())
    for name, place in places(schema):
        assert place.get("description"), name
        assert place.get("examples"), name
    for name, definition in schema["$defs"].items():
        assert definition["additionalProperties"] is False, name
        assert definition["description"], name


def test_every_example_is_valid() -> None:
    schema = json.loads(schema_text())
    for name, place in places(schema):
        for example in place["examples"]:
            Draft202012Validator({**place, "$defs": schema["$defs"]}).validate(example), name
