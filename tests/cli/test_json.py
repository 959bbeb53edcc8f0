"""docs/json.md documents every key of ``--json``."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.cli.harness import CommandLine
from tests.state.local_store import LocalStore

DOCUMENTED = set(re.findall(r"`([a-z0-9_]+)`", (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")))
BY_NAME = {"addresses", "counts", "outputs"}
"""Objects whose keys are user-defined names or verbs."""


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in BY_NAME or isinstance(inner, list):
                yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def test_every_key_is_documented(cli: CommandLine) -> None:
    cli.spec()
    result = [cli("plan", "--json"), cli("apply", "-y", "--json"), cli("show", "hello", "--json"), cli("status", "--json")]
    result += [cli("list", what, "--json") for what in ("cluster", "repository", "site")]
    result += [cli("validate", "--json"), cli("show", "tiny", "--json"), cli("shutdown", "hello", "--json")]
    result += [
        cli(*words, "--json") for words in (("state", "list"), ("state", "history"), ("state", "show", "tiny"), ("key", "show"))
    ]
    result.append(cli("state", "rm", "lab/hello/node/*", "-y") and cli("orphans", "--all", "--json"))
    with LocalStore(cli.directory / "state" / "cluster").session("a long run"):
        result.append(cli("state", "lock", "show", "--json"))
    result.append(cli("boot", "helo", "--json", status=64))
    documents = [each.json for each in result]
    assert {document["format"] for document in documents} == {1}
    assert {key for document in documents for key in _keys(document)} - DOCUMENTED == set()
    assert {document["kind"] for document in documents} <= DOCUMENTED


def test_a_usage_error_is_json_too(cli: CommandLine) -> None:
    cli.spec()
    result = cli("plan", "--bogus", "--json", status=64)
    assert (result.json["kind"], result.json["error"], result.json["exit_status"]) == ("error", "Usage", 64)
    assert result.json["problems"][0]["summary"] == "Invalid command line"
    assert "--bogus" in result.json["problems"][0]["detail"]
    assert "Usage: pragmaspec plan" in result.err
