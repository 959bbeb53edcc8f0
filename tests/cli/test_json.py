"""docs/json.md documents every key of ``--json``."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.cli.workshop import Workshop
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


def test_every_key_is_documented(shop: Workshop) -> None:
    shop.spec()
    said = [shop("plan", "--json"), shop("apply", "-y", "--json"), shop("show", "hello", "--json"), shop("status", "--json")]
    said += [shop("list", what, "--json") for what in ("cluster", "repository", "site")]
    said += [shop("validate", "--json"), shop("show", "tiny", "--json"), shop("shutdown", "hello", "--json")]
    said += [
        shop(*words, "--json") for words in (("state", "list"), ("state", "history"), ("state", "show", "tiny"), ("key", "show"))
    ]
    said.append(shop("state", "rm", "lab/hello/node/*", "-y") and shop("orphans", "--all", "--json"))
    with LocalStore(shop.directory / "state" / "cluster").session("a long run"):
        said.append(shop("state", "lock", "show", "--json"))
    said.append(shop("boot", "helo", "--json", status=64))
    documents = [each.json for each in said]
    assert {document["format"] for document in documents} == {1}
    assert {key for document in documents for key in _keys(document)} - DOCUMENTED == set()
    assert {document["kind"] for document in documents} <= DOCUMENTED
