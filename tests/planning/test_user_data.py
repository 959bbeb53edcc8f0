"""Any user-data that a spec accepts can be written to a node's seed, so that an apply does not fail half-way."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pragmaspec.errors import SpecError
from pragmaspec.guest.cloud_init.merge import decode_user_data
from pragmaspec.guest.cloud_init.yaml import yaml_text
from pragmaspec.planning.expand import expand
from pragmaspec.spec.fields import user_data
from pragmaspec.spec.loader import load_spec
from tests.planning.builders import image

WORDS = st.text(max_size=8) | st.sampled_from(
    ("yes", "<<", "*a", "&a", "!x", "0644", "1:30", "#", "- ", "%", "{", "\t", "\x7f", "\x85", "k" * 1100, '"' * 600)
)
VALUES = st.recursive(
    WORDS | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=30,
)


def nodes_documents(common: dict[str, Any], frontend: dict[str, Any]) -> list[str]:
    """Return the user-data of frontend and computes, from that of the cluster and of the frontend."""
    spec = {
        "images": {"debian-12": {"build": {"debian": "bookworm"}}},
        "sites": {"lab": {"provider": "libvirt"}},
        "clusters": {
            "hello": {"site": "lab", "image": "debian-12", "user_data": common, "frontend": {"user_data": frontend}},
        },
    }
    with TemporaryDirectory() as directory:
        file = Path(directory) / "spec.yaml"
        file.write_text(json.dumps(spec, ensure_ascii=True), encoding="utf-8")
        loaded = load_spec(file, user_config=Path(directory), home=Path(directory))
    (found,) = expand(loaded, {"debian-12": image("debian-12")}).clusters
    return [found.frontend.user_data, found.computes.user_data]


@settings(max_examples=60, deadline=None)
@example({"a": "\u2028 \x7f"}, {})
@given(st.dictionaries(WORDS, VALUES, max_size=4), st.dictionaries(WORDS, VALUES, max_size=4))
def test_yaml_readers_read_accepted_user_data_back(common: dict[str, Any], frontend: dict[str, Any]) -> None:
    try:
        documents = nodes_documents(common, frontend)
    except SpecError:
        return
    reader = YAML(typ="safe", pure=True)
    reader.version = "1.1"
    for document in documents:
        decoded = decode_user_data(document)
        assert reader.load(yaml_text(decoded)) == decoded


@pytest.mark.parametrize("count", [19_995, 20_100])
def test_the_limit_applies_to_the_merged_document(count: int) -> None:
    common, frontend = {"a": ["x"] * (count // 2)}, {"b": ["y"] * (count - count // 2)}
    if count > user_data.VALUES_MAX:
        with pytest.raises(SpecError, match=r"spec.yaml:1:\d+: User-data too large"):
            nodes_documents(common, frontend)
    else:
        assert all(decode_user_data(document) for document in nodes_documents(common, frontend))
